/* Along one axis, every output is one input or a weighted sum of a few.
 *   gather   bufs in, out   ints outer, count in, count out, inner, taps, weighted   reals fill
 *            arrays index (count out * taps 32-bit integers in the floats' bits; -1: the fill, one
 * tap alone), and if weighted the weights (count out * taps) plain (outer, in, inner) -> (outer,
 * out, inner) Padding of every mode, rolls, flips, repeats, picks, and resizing of every kind. */
#include "nn_rows.h"

typedef struct {
    size_t outer, in, out, inner, taps;
    float fill;
    const float *weights; /* NULL: copies */
    int32_t index[];
} gather_data;

static ek_status gather_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 6 || a->nreals != 1 || !plain(s->buf[0]) || !plain(s->buf[1]))
        return EK_EVALUE;
    size_t n[5], in, out, table;
    for (size_t i = 0; i < 5; i++) {
        if (a->ints[i] < 1) return EK_EVALUE;
        n[i] = (size_t)a->ints[i];
    }
    const int weighted = a->ints[5] != 0;
    if (__builtin_mul_overflow(n[0], n[1], &in) || __builtin_mul_overflow(in, n[3], &in) ||
        __builtin_mul_overflow(n[0], n[2], &out) || __builtin_mul_overflow(out, n[3], &out) ||
        __builtin_mul_overflow(n[2], n[4], &table) || in != s->buf[0]->size ||
        out != s->buf[1]->size || a->narrays != (size_t)(1 + weighted) || a->lengths[0] != table ||
        (weighted && a->lengths[1] != table) || (!weighted && n[4] != 1))
        return EK_EVALUE;
    const size_t head = ek_nn_ceil(sizeof(gather_data) + table * sizeof(int32_t), 64) * 64;
    s->data_bytes = head + (weighted ? table * sizeof(float) : 0);
    gather_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    *d = (gather_data){.outer = n[0], .in = n[1], .out = n[2], .inner = n[3], .taps = n[4]};
    d->fill = (float)a->reals[0];
    memcpy(d->index, a->arrays[0], table * sizeof(int32_t));
    for (size_t i = 0; i < table; i++)
        if (d->index[i] < (weighted ? 0 : -1) || d->index[i] >= (int64_t)n[1]) return EK_EVALUE;
    if (weighted) {
        float *w = (float *)((char *)d + head);
        memcpy(w, a->arrays[1], table * sizeof(float));
        d->weights = w;
    }
    return EK_OK;
}

static size_t gather_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * ((const gather_data *)s->data)->outer;
}

static void copies(const gather_data *d, const float *x, float *o) {
    for (size_t j = 0; j < d->out; j++) {
        const int32_t from = d->index[j];
        if (d->inner == 1)
            o[j] = from < 0 ? d->fill : x[from];
        else if (from < 0)
            for (size_t i = 0; i < d->inner; i++) o[j * d->inner + i] = d->fill;
        else
            memcpy(o + j * d->inner, x + (size_t)from * d->inner, d->inner * sizeof(float));
    }
}

static void sums(const gather_data *d, const float *x, float *o) {
    for (size_t j = 0; j < d->out; j++, o += d->inner) {
        const int32_t *from = d->index + j * d->taps;
        const float *w = d->weights + j * d->taps;
        for (size_t i = 0; i < d->inner; i++) o[i] = w[0] * x[(size_t)from[0] * d->inner + i];
        for (size_t t = 1; t < d->taps; t++)
            for (size_t i = 0; i < d->inner; i++) o[i] += w[t] * x[(size_t)from[t] * d->inner + i];
    }
}

static ek_status gather_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const gather_data *d = s->data;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u * d->in * d->inner;
        float *o = ek_nn_at(c, s->buf[1]) + u * d->out * d->inner;
        if (d->weights == NULL)
            copies(d, x, o);
        else
            sums(d, x, o);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_gather = {"gather", gather_init, gather_units, gather_run};
