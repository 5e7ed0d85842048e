/* reduce   bufs in, out   ints kind (0 mean, 1 sum, 2 max, 3 min, 4 variance, 5 deviation) outer,
 *          count, inner   reals correction (of variance and deviation: divide by count -
 * correction) plain (outer, count, inner) -> (outer, inner) Sums run in double. NaN wins a maximum
 * and a minimum. */
#include "nn_rows.h"
#include <math.h>

enum { MEAN, SUM, MAX, MIN, VAR, STD, STRIPE = 256 }; /* columns of a stripe: sums stay in cache */

static ek_status reduce_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 4 || a->nreals > 1 || !plain(s->buf[0]) || !plain(s->buf[1]) ||
        a->ints[0] < 0 || a->ints[0] > STD || (a->ints[0] >= VAR && a->nreals != 1))
        return EK_EVALUE;
    size_t size, outer;
    if (a->ints[1] < 1 || a->ints[2] < 1 || a->ints[3] < 1 ||
        __builtin_mul_overflow((size_t)a->ints[1], (size_t)a->ints[3], &outer) ||
        __builtin_mul_overflow(outer, (size_t)a->ints[2], &size) || size != s->buf[0]->size ||
        outer != s->buf[1]->size)
        return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->kind = a->ints[0];
    d->rows = a->ints[1];
    d->length = a->ints[2];
    d->inner = a->ints[3];
    d->param = a->nreals ? (float)a->reals[0] : 0.0f;
    return EK_OK;
}

static void extreme(const float *x, float *o, size_t count, size_t inner, size_t n, float sign) {
    memcpy(o, x, n * sizeof(float));
    for (size_t k = 1; k < count; k++)
        for (size_t i = 0; i < n; i++) {
            const float v = x[k * inner + i];
            if (sign * v > sign * o[i] || isnan(v)) o[i] = v;
        }
}

/* One row: eight partial sums, so that the additions overlap. */
static double row_sum(const float *x, size_t n, double mean, int squares) {
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

static void columns(const float *x, const double *mean, double *sum, size_t count, size_t inner,
                    size_t n) {
    for (size_t i = 0; i < n; i++) sum[i] = 0.0;
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < n; i++) {
            const double v = (double)x[k * inner + i] - (mean ? mean[i] : 0.0);
            sum[i] += mean ? v * v : v;
        }
}

/* n neighbouring columns of one block of rows */
static void stripe(const rows_data *d, const float *x, float *o, size_t n) {
    const size_t count = (size_t)d->length, inner = (size_t)d->inner;
    double sum[STRIPE], mean[STRIPE];
    if (d->kind == MAX || d->kind == MIN) {
        extreme(x, o, count, inner, n, d->kind == MAX ? 1.0f : -1.0f);
        return;
    }
    if (inner == 1)
        sum[0] = row_sum(x, count, 0.0, 0);
    else
        columns(x, NULL, sum, count, inner, n);
    if (d->kind == SUM || d->kind == MEAN) {
        const double scale = d->kind == MEAN ? 1.0 / (double)count : 1.0;
        for (size_t i = 0; i < n; i++) o[i] = (float)(sum[i] * scale);
        return;
    }
    for (size_t i = 0; i < n; i++) mean[i] = sum[i] / (double)count;
    if (inner == 1)
        sum[0] = row_sum(x, count, mean[0], 1);
    else
        columns(x, mean, sum, count, inner, n);
    const double left = (double)count - (double)d->param;
    for (size_t i = 0; i < n; i++) {
        const double var = sum[i] / (left > 0.0 ? left : 0.0);
        o[i] = (float)(d->kind == STD ? sqrt(var) : var);
    }
}

static ek_status reduce_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const rows_data *d = s->data;
    const size_t count = (size_t)d->length, inner = (size_t)d->inner;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u * count * inner;
        float *o = ek_nn_at(c, s->buf[1]) + u * inner;
        for (size_t i = 0; i < inner; i += STRIPE)
            stripe(d, x + i, o + i, inner - i < STRIPE ? inner - i : STRIPE);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_reduce = {"reduce", reduce_init, row_units, reduce_run};
