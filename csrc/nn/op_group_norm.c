/* group_norm   bufs in, out   ints rows per sample, groups, channels of a group, inner, centre
 *              reals eps   arrays scale, shift (groups * channels): plain
 * Row r holds group r % groups: (channels, inner) numbers brought to unit deviation (centre = 1) or
 * unit mean square (centre = 0), then scaled and shifted per channel. Group, instance and RMS
 * norms, and layer norms over several axes. Statistics run in double. */
#include "nn_rows.h"
#include <math.h>

typedef struct {
    size_t rows, groups, channels, inner;
    int centre;
    double eps;
    float values[]; /* scale, then shift */
} norm_data;

static ek_status norm_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 5 || a->nreals != 1 || a->narrays != 2 || !plain(s->buf[0]) ||
        !plain(s->buf[1]) || s->buf[0]->size != s->buf[1]->size)
        return EK_EVALUE;
    size_t n[4], size = 1;
    for (size_t i = 0; i < 4; i++) {
        if (a->ints[i] < 1) return EK_EVALUE;
        n[i] = (size_t)a->ints[i];
        if (i != 1 && __builtin_mul_overflow(size, n[i], &size)) return EK_EVALUE;
    }
    if (size != s->buf[0]->size || n[0] % n[1] != 0 || n[1] > size || n[2] > size) return EK_EVALUE;
    const size_t all = n[1] * n[2];
    if (a->lengths[0] != all || a->lengths[1] != all) return EK_EVALUE;
    s->data_bytes = sizeof(norm_data) + 2 * all * sizeof(float);
    norm_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    *d = (norm_data){.rows = n[0], .groups = n[1], .channels = n[2], .inner = n[3]};
    d->centre = a->ints[4] != 0;
    d->eps = a->reals[0];
    memcpy(d->values, a->arrays[0], all * sizeof(float));
    memcpy(d->values + all, a->arrays[1], all * sizeof(float));
    return EK_OK;
}

static size_t norm_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * ((const norm_data *)s->data)->rows;
}

/* Eight partial sums, so that the additions overlap. */
static double total(const float *x, size_t n, double mean, int squares) {
    double part[8] = {0}, sum = 0.0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) {
            const double v = (double)x[i + j] - mean;
            part[j] += squares ? v * v : v;
        }
    for (; i < n; i++) {
        const double v = (double)x[i] - mean;
        part[i % 8] += squares ? v * v : v;
    }
    for (size_t j = 0; j < 8; j++) sum += part[j];
    return sum;
}

static ek_status norm_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const norm_data *d = s->data;
    const size_t n = d->channels * d->inner, all = d->groups * d->channels;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u * n;
        float *o = ek_nn_at(c, s->buf[1]) + u * n;
        const float *scale = d->values + u % d->groups * d->channels, *shift = scale + all;
        const double mean = d->centre ? total(x, n, 0.0, 0) / (double)n : 0.0;
        const double inverse = 1.0 / sqrt(total(x, n, mean, 1) / (double)n + d->eps);
        for (size_t k = 0; k < d->channels; k++, x += d->inner, o += d->inner)
            for (size_t i = 0; i < d->inner; i++)
                o[i] = (float)(((double)x[i] - mean) * inverse) * scale[k] + shift[k];
    }
    return EK_OK;
}

const ek_nn_op ek_nn_group_norm = {"group_norm", norm_init, norm_units, norm_run};
