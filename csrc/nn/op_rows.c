/* Elementwise work and work along rows.
 *   act         bufs in, out            ints act   reals parameter    same shape and lanes
 *   binary      bufs x, y, out          ints kind (0 add, 1 multiply, 2 subtract) act   reals
 * parameter   same shape and lanes affine      bufs in, out            ints act   reals parameter
 * arrays scale (c), shift (c): batch norm on its own softmax     bufs in, out            ints rows
 * per sample, length; plain layer_norm  bufs in, out            ints rows per sample, length reals
 * eps   arrays scale, shift (length); plain reduce      bufs in, out            ints kind (0 mean,
 * 1 sum, 2 max) outer, count, inner; plain (outer, count, inner) -> (outer, inner) */
#include "nn_step.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t kind, act, rows, length, inner;
    float param, eps;
    size_t c;
    float values[];
} rows_data;

static rows_data *rows_new(ek_nn_step *s, size_t floats) {
    s->data_bytes = sizeof(rows_data) + floats * sizeof(float);
    s->data = ek_aligned_alloc(s->data_bytes);
    if (s->data != NULL) memset(s->data, 0, s->data_bytes);
    return s->data;
}

static int same(const ek_nn_buf *x, const ek_nn_buf *y) {
    return x != NULL && y != NULL && x->lanes == y->lanes && x->items == y->items && x->c == y->c &&
           x->h == y->h && x->w == y->w;
}

static int plain(const ek_nn_buf *b) {
    return b != NULL && b->lanes == 1 && !ek_nn_has_border(b);
}

static int activation(const ek_nn_args *a, size_t at) {
    return a->ints[at] >= 0 && a->ints[at] < EK_ACT_COUNT;
}

static size_t border_unit(const ek_nn_step *s, size_t out) {
    return (size_t)ek_nn_has_border(s->buf[out]);
}

/* ---- act, binary, affine ---- */

static ek_status act_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 1 || a->nreals != 1 || !same(s->buf[0], s->buf[1]) ||
        !activation(a, 0))
        return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->act = a->ints[0];
    d->param = (float)a->reals[0];
    return EK_OK;
}

static size_t act_units(const ek_nn_step *s, const ek_nn_call *c) {
    return ek_nn_sweep_of(c, s->buf, 2).units + border_unit(s, 1);
}

static ek_status act_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
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
            if (o != x) memcpy(o, x, n * sizeof(float));
            s->isa->act((ek_act)d->act, d->param, o, n);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_act = {"act", act_init, act_units, act_run};

static ek_status binary_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 3 || a->nints != 2 || a->nreals != 1 || !same(s->buf[0], s->buf[2]) ||
        !same(s->buf[1], s->buf[2]) || a->ints[0] < 0 || a->ints[0] > 2 || !activation(a, 1))
        return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->kind = a->ints[0];
    d->act = a->ints[1];
    d->param = (float)a->reals[0];
    return EK_OK;
}

static size_t binary_units(const ek_nn_step *s, const ek_nn_call *c) {
    return ek_nn_sweep_of(c, s->buf, 3).units + border_unit(s, 2);
}

static ek_status binary_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const rows_data *d = s->data;
    const ek_nn_sweep w = ek_nn_sweep_of(c, s->buf, 3);
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == w.units) {
            ek_nn_zero_border(s->buf[2], ek_nn_at(c, s->buf[2]), 0, c->n * s->buf[2]->items);
            break;
        }
        for (size_t r = 0; r < w.rows; r++) {
            size_t n;
            const float *x = ek_nn_row(c, &w, s->buf[0], u, r, &n),
                        *y = ek_nn_row(c, &w, s->buf[1], u, r, &n);
            float *o = ek_nn_row(c, &w, s->buf[2], u, r, &n);
            if (d->kind == 0)
                s->isa->add(x, y, o, n);
            else if (d->kind == 1)
                s->isa->mul(x, y, o, n);
            else
                for (size_t i = 0; i < n; i++) o[i] = x[i] - y[i];
            if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, n);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_binary = {"binary", binary_init, binary_units, binary_run};

static ek_status affine_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 1 || a->nreals != 1 || a->narrays != 2 ||
        !same(s->buf[0], s->buf[1]) || !activation(a, 0))
        return EK_EVALUE;
    const size_t c = s->buf[0]->c, wide = ek_nn_ceil(c, EK_LANES) * EK_LANES;
    if (a->lengths[0] != c || a->lengths[1] != c) return EK_EVALUE;
    rows_data *d = rows_new(s, 2 * wide);
    if (d == NULL) return EK_ENOMEM;
    d->act = a->ints[0];
    d->param = (float)a->reals[0];
    d->c = wide;
    memcpy(d->values, a->arrays[0], c * sizeof(float));
    memcpy(d->values + wide, a->arrays[1], c * sizeof(float));
    return EK_OK;
}

static size_t affine_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * s->buf[0]->items * s->buf[0]->blocks + border_unit(s, 1);
}

static ek_status affine_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    const rows_data *d = s->data;
    const size_t planes = c->n * in->items * in->blocks;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == planes) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        const size_t first = u % in->blocks * in->lanes;
        const float *x = ek_nn_at(c, in) + u * in->plane + in->origin;
        float *o = ek_nn_at(c, out) + u * out->plane + out->origin;
        for (size_t y = 0; y < in->h; y++, x += in->pitch, o += out->pitch) {
            if (in->lanes == EK_LANES)
                s->isa->affine16(x, d->values + first, d->values + d->c + first, o, in->w);
            else
                for (size_t i = 0; i < in->w; i++)
                    o[i] = x[i] * d->values[first] + d->values[d->c + first];
            if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, in->w * in->lanes);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_affine = {"affine", affine_init, affine_units, affine_run};

/* ---- softmax, layer_norm ---- */

static int row_shape(const ek_nn_step *s, const ek_nn_args *a) {
    size_t size;
    return a->nbufs == 2 && a->nints == 2 && plain(s->buf[0]) && plain(s->buf[1]) &&
           a->ints[0] >= 1 && a->ints[1] >= 1 &&
           !__builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[1], &size) &&
           size == s->buf[0]->size && size == s->buf[1]->size;
}

static ek_status softmax_init(ek_nn_step *s, const ek_nn_args *a) {
    if (!row_shape(s, a)) return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->rows = a->ints[0];
    d->length = a->ints[1];
    return EK_OK;
}

static size_t row_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * (size_t)((const rows_data *)s->data)->rows;
}

static ek_status softmax_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                             ek_arena *tmp) {
    const size_t n = (size_t)((const rows_data *)s->data)->length;
    const float *x = ek_nn_at(c, s->buf[0]);
    float *o = ek_nn_at(c, s->buf[1]);
    (void)tmp;
    for (size_t u = begin; u < end; u++) s->isa->softmax(x + u * n, o + u * n, n);
    return EK_OK;
}

const ek_nn_op ek_nn_softmax = {"softmax", softmax_init, row_units, softmax_run};

static ek_status layer_norm_init(ek_nn_step *s, const ek_nn_args *a) {
    if (!row_shape(s, a) || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const size_t n = (size_t)a->ints[1];
    if (a->lengths[0] != n || a->lengths[1] != n) return EK_EVALUE;
    rows_data *d = rows_new(s, 2 * n);
    if (d == NULL) return EK_ENOMEM;
    d->rows = a->ints[0];
    d->length = a->ints[1];
    d->eps = (float)a->reals[0];
    memcpy(d->values, a->arrays[0], n * sizeof(float));
    memcpy(d->values + n, a->arrays[1], n * sizeof(float));
    return EK_OK;
}

static ek_status layer_norm_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                                ek_arena *tmp) {
    const rows_data *d = s->data;
    const size_t n = (size_t)d->length;
    const float *x = ek_nn_at(c, s->buf[0]);
    float *o = ek_nn_at(c, s->buf[1]);
    (void)tmp;
    for (size_t u = begin; u < end; u++)
        s->isa->layer_norm(x + u * n, d->values, d->values + n, d->eps, o + u * n, n);
    return EK_OK;
}

const ek_nn_op ek_nn_layer_norm = {"layer_norm", layer_norm_init, row_units, layer_norm_run};

/* ---- reduce ---- */

enum { MEAN, SUM, MAX };

static ek_status reduce_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 4 || !plain(s->buf[0]) || !plain(s->buf[1]) ||
        a->ints[0] < 0 || a->ints[0] > MAX)
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
    return EK_OK;
}

static ek_status reduce_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const rows_data *d = s->data;
    const size_t count = (size_t)d->length, inner = (size_t)d->inner;
    double *sum =
        ek_arena_f64(tmp, inner); /* double: a mean of thousands of terms loses digits in f32 */
    if (sum == NULL) return EK_ENOMEM;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u * count * inner;
        float *o = ek_nn_at(c, s->buf[1]) + u * inner;
        if (d->kind == MAX) {
            memcpy(o, x, inner * sizeof(float));
            for (size_t k = 1; k < count; k++)
                for (size_t i = 0; i < inner; i++) {
                    const float v = x[k * inner + i];
                    if (v > o[i] || isnan(v)) o[i] = v;
                }
            continue;
        }
        memset(sum, 0, inner * sizeof(double));
        for (size_t k = 0; k < count; k++)
            for (size_t i = 0; i < inner; i++) sum[i] += (double)x[k * inner + i];
        const double scale = d->kind == MEAN ? 1.0 / (double)count : 1.0;
        for (size_t i = 0; i < inner; i++) o[i] = (float)(sum[i] * scale);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_reduce = {"reduce", reduce_init, row_units, reduce_run};
