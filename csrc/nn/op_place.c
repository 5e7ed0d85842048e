/* place   bufs in, out   ints shape of in (nd), then for each of its axes the stride in the output,
 * in floats; then an offset: plain. Writes part of the output: several steps fill it together, as
 * the phases of a transposed convolution do. */
#include "nn_rows.h"

enum { MAX_AXES = 8 };

typedef struct {
    size_t nd, shape[MAX_AXES], stride[MAX_AXES], offset;
} place_data;

static ek_status place_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || !plain(s->buf[0]) || !plain(s->buf[1]) || a->nints % 2 != 1 ||
        a->nints / 2 > MAX_AXES || a->nints < 5 || a->ints[a->nints - 1] < 0)
        return EK_EVALUE;
    place_data d = {.nd = a->nints / 2, .offset = (size_t)a->ints[a->nints - 1]};
    size_t count = 1, last = d.offset, reach;
    for (size_t i = 0; i < d.nd; i++) {
        if (a->ints[i] < 1 || a->ints[d.nd + i] < 0) return EK_EVALUE;
        d.shape[i] = (size_t)a->ints[i];
        d.stride[i] = (size_t)a->ints[d.nd + i];
        if (__builtin_mul_overflow(count, d.shape[i], &count) ||
            __builtin_mul_overflow(d.shape[i] - 1, d.stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return EK_EVALUE;
    }
    if (count != s->buf[0]->size || last >= s->buf[1]->size) return EK_EVALUE;
    s->data = ek_aligned_alloc(sizeof d);
    if (s->data == NULL) return EK_ENOMEM;
    memcpy(s->data, &d, sizeof d);
    s->data_bytes = sizeof d;
    return EK_OK;
}

static size_t place_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * ((const place_data *)s->data)->shape[0];
}

static ek_status place_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                           ek_arena *tmp) {
    const place_data *d = s->data;
    const size_t per_unit = s->buf[0]->size / d->shape[0], inner = d->shape[d->nd - 1];
    const size_t last = d->stride[d->nd - 1];
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u * per_unit;
        float *o = ek_nn_at(c, s->buf[1]) + u / d->shape[0] * s->buf[1]->size + d->offset +
                   u % d->shape[0] * d->stride[0];
        size_t index[MAX_AXES] = {0};
        for (size_t done = 0; done < per_unit; done += inner) {
            float *row = o;
            for (size_t i = 1; i + 1 < d->nd; i++) row += index[i] * d->stride[i];
            for (size_t j = 0; j < inner; j++) row[j * last] = x[done + j];
            for (size_t i = d->nd - 1; i-- > 1;) {
                if (++index[i] < d->shape[i]) break;
                index[i] = 0;
            }
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_place = {"place", place_init, place_units, place_run};
