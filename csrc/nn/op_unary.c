/* unary   bufs in, out   ints kind   reals a, b: same shape and lanes. What stands on its own in a
 *         network too seldom to deserve a place among the fused activations; the C library's
 *         functions. NaN goes through. */
#include "nn_rows.h"
#include <math.h>

enum {
    CLAMP, /* to a..b */
    SQRT,
    RSQRT,
    LOG,
    ABS,
    NEG,
    RECIPROCAL,
    SQUARE,
    SIN,
    COS,
    ERF,
    ELU,         /* slope a */
    SELU,        /* scale b of an elu of slope a */
    SOFTPLUS,    /* beta a, linear above threshold b */
    MISH,        /* x tanh(softplus x) */
    HARDSIGMOID, /* clamp(x/6 + 1/2, 0, 1) */
    HARDSWISH,   /* x hardsigmoid(x) */
    UNARY_KINDS,
};

static float clampf(float x, float lo, float hi) { /* as PyTorch: hi wins over lo */
    const float y = x < lo ? lo : x;
    return y > hi ? hi : y;
}

static float softplusf(float x, float beta, float threshold) {
    const float bx = x * beta;
    return bx > threshold ? x : log1pf(expf(bx)) / beta;
}

static void apply(int64_t kind, float a, float b, const float *x, float *o, size_t n) {
#define EACH(formula)                                                                              \
    for (size_t i = 0; i < n; i++) {                                                               \
        const float v = x[i];                                                                      \
        o[i] = (formula);                                                                          \
    }                                                                                              \
    break
    switch (kind) {
    case CLAMP: EACH(clampf(v, a, b));
    case SQRT: EACH(sqrtf(v));
    case RSQRT: EACH((float)(1.0 / sqrt((double)v)));
    case LOG: EACH(logf(v));
    case ABS: EACH(fabsf(v));
    case NEG: EACH(-v);
    case RECIPROCAL: EACH(1.0f / v);
    case SQUARE: EACH(v * v);
    case SIN: EACH(sinf(v));
    case COS: EACH(cosf(v));
    case ERF: EACH(erff(v));
    case ELU: EACH(v > 0.0f ? v : a * expm1f(v));
    case SELU: EACH(b * (v > 0.0f ? v : a * expm1f(v)));
    case SOFTPLUS: EACH(softplusf(v, a, b));
    case MISH: EACH(v * tanhf(softplusf(v, 1.0f, 20.0f)));
    case HARDSIGMOID: EACH(clampf(v + 3.0f, 0.0f, 6.0f) / 6.0f);
    default: EACH(v * clampf(v + 3.0f, 0.0f, 6.0f) / 6.0f);
    }
#undef EACH
}

static ek_status unary_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 1 || a->nreals != 2 || !same(s->buf[0], s->buf[1]) ||
        a->ints[0] < 0 || a->ints[0] >= UNARY_KINDS)
        return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->kind = a->ints[0];
    d->param = (float)a->reals[0];
    d->eps = (float)a->reals[1];
    return EK_OK;
}

static size_t unary_units(const ek_nn_step *s, const ek_nn_call *c) {
    return ek_nn_sweep_of(c, s->buf, 2).units + border_unit(s, 1);
}

static ek_status unary_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                           ek_arena *tmp) {
    const rows_data *d = s->data;
    const ek_nn_sweep w = ek_nn_sweep_of(c, s->buf, 2);
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == w.units) {
            ek_nn_zero_border(s->buf[1], ek_nn_at(c, s->buf[1]), 0, c->n * s->buf[1]->items);
            break;
        }
        for (size_t y = 0; y < w.rows; y++) {
            size_t n;
            const float *x = ek_nn_row(c, &w, s->buf[0], u, y, &n);
            float *o = ek_nn_row(c, &w, s->buf[1], u, y, &n);
            apply(d->kind, d->param, d->eps, x, o, n);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_unary = {"unary", unary_init, unary_units, unary_run};
