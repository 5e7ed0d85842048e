/* Arithmetic between two tensors, or a tensor and constants.
 *   binary     bufs x, y, out   ints kind act   reals parameter: same shape and lanes
 *   broadcast  bufs x, y, out   ints kind act, out's shape (nd), x's strides, y's strides in floats
 *              (0: repeated)   reals parameter   arrays constants: plain. An operand that is absent
 *              is the array; a single sample of it serves the whole batch. */
#include "nn_rows.h"
#include <math.h>

enum { ADD, MUL, SUB, DIV, POW, MIN, MAX, KINDS, MAX_AXES = 8 };

/* A stride of 0 repeats the first number. NaN wins a minimum and a maximum, as in PyTorch. */
static void rows_of(const ek_nn_isa *isa, int64_t kind, const float *x, size_t sx, const float *y,
                    size_t sy, float *o, size_t n) {
    switch (kind) {
    case ADD:
        if (sx == 1 && sy == 1)
            isa->add(x, y, o, n);
        else
            for (size_t i = 0; i < n; i++) o[i] = x[i * sx] + y[i * sy];
        break;
    case MUL:
        if (sx == 1 && sy == 1)
            isa->mul(x, y, o, n);
        else
            for (size_t i = 0; i < n; i++) o[i] = x[i * sx] * y[i * sy];
        break;
    case SUB:
        for (size_t i = 0; i < n; i++) o[i] = x[i * sx] - y[i * sy];
        break;
    case DIV:
        for (size_t i = 0; i < n; i++) o[i] = x[i * sx] / y[i * sy];
        break;
    case POW:
        for (size_t i = 0; i < n; i++) o[i] = powf(x[i * sx], y[i * sy]);
        break;
    case MIN:
        for (size_t i = 0; i < n; i++) {
            const float a = x[i * sx], b = y[i * sy];
            o[i] = a < b || isnan(a) ? a : b;
        }
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            const float a = x[i * sx], b = y[i * sy];
            o[i] = a > b || isnan(a) ? a : b;
        }
    }
}

static ek_status binary_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 3 || a->nints != 2 || a->nreals != 1 || !same(s->buf[0], s->buf[2]) ||
        !same(s->buf[1], s->buf[2]) || a->ints[0] < 0 || a->ints[0] >= KINDS || !activation(a, 1))
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
            rows_of(s->isa, d->kind, x, 1, y, 1, o, n);
            if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, n);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_binary = {"binary", binary_init, binary_units, binary_run};

typedef struct {
    int64_t kind, act;
    float param;
    size_t nd, shape[MAX_AXES], stride[2][MAX_AXES];
    float constants[];
} broadcast_data;

static ek_status broadcast_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 3 || a->nints < 5 || (a->nints - 2) % 3 != 0 || a->nreals != 1 ||
        a->nints > 2 + 3 * MAX_AXES || a->ints[0] < 0 || a->ints[0] >= KINDS || !activation(a, 1) ||
        !plain(s->buf[2]) || a->narrays != (s->buf[0] == NULL || s->buf[1] == NULL) ||
        (s->buf[0] == NULL && s->buf[1] == NULL))
        return EK_EVALUE;
    const size_t nd = (a->nints - 2) / 3, held = a->narrays ? a->lengths[0] : 0;
    const int64_t *shape = a->ints + 2;
    size_t count = 1;
    for (size_t i = 0; i < nd; i++)
        if (shape[i] < 1 || __builtin_mul_overflow(count, (size_t)shape[i], &count))
            return EK_EVALUE;
    if (count != s->buf[2]->size) return EK_EVALUE;
    for (size_t k = 0; k < 2; k++) {
        if (s->buf[k] != NULL && !plain(s->buf[k])) return EK_EVALUE;
        const size_t limit = s->buf[k] != NULL ? s->buf[k]->size : held;
        size_t last = 0, reach;
        for (size_t i = 0; i < nd; i++) {
            const int64_t stride = shape[nd + k * nd + i];
            if (stride < 0 ||
                __builtin_mul_overflow((size_t)stride, (size_t)shape[i] - 1, &reach) ||
                __builtin_add_overflow(last, reach, &last))
                return EK_EVALUE;
        }
        if (last >= limit) return EK_EVALUE;
    }
    s->data_bytes = sizeof(broadcast_data) + held * sizeof(float);
    broadcast_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    *d = (broadcast_data){.kind = a->ints[0],
                          .act = a->ints[1],
                          .param = (float)a->reals[0],
                          .nd = nd};
    for (size_t i = 0; i < nd; i++) {
        d->shape[i] = (size_t)shape[i];
        d->stride[0][i] = (size_t)shape[nd + i];
        d->stride[1][i] = (size_t)shape[2 * nd + i];
    }
    if (held) memcpy(d->constants, a->arrays[0], held * sizeof(float));
    return EK_OK;
}

static size_t broadcast_units(const ek_nn_step *s, const ek_nn_call *c) {
    const broadcast_data *d = s->data;
    return c->n * (d->nd > 1 ? d->shape[0] : 1);
}

static ek_status broadcast_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                               ek_arena *tmp) {
    const broadcast_data *d = s->data;
    const size_t nd = d->nd, first = nd > 1 ? d->shape[0] : 1, inner = d->shape[nd - 1];
    const size_t per_unit = s->buf[2]->size / first;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const size_t sample = u / first, head = nd > 1 ? u % first : 0;
        const float *in[2];
        for (size_t k = 0; k < 2; k++) {
            const ek_nn_buf *b = s->buf[k];
            in[k] = b == NULL ? d->constants : ek_nn_at(c, b) + sample * b->size;
            if (nd > 1) in[k] += head * d->stride[k][0];
        }
        float *o = ek_nn_at(c, s->buf[2]) + u * per_unit;
        size_t index[MAX_AXES] = {0};
        for (size_t done = 0; done < per_unit; done += inner) {
            size_t at[2] = {0, 0};
            for (size_t i = 1; i + 1 < nd; i++)
                for (size_t k = 0; k < 2; k++) at[k] += index[i] * d->stride[k][i];
            rows_of(s->isa, d->kind, in[0] + at[0], d->stride[0][nd - 1], in[1] + at[1],
                    d->stride[1][nd - 1], o + done, inner);
            for (size_t i = nd - 1; i-- > 1;) {
                if (++index[i] < d->shape[i]) break;
                index[i] = 0;
            }
        }
        if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, per_unit);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_broadcast = {"broadcast", broadcast_init, broadcast_units, broadcast_run};
