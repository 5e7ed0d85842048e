/* nn_rows.h: what ops along rows of numbers share: their data, and checks of their buffers. */
#ifndef EK_NN_ROWS_H
#define EK_NN_ROWS_H
#include "nn_step.h"
#include <string.h>

typedef struct {
    int64_t kind, act, rows, length, inner;
    float param, eps;
    size_t c;
    float values[];
} rows_data;

static inline rows_data *rows_new(ek_nn_step *s, size_t floats) {
    s->data_bytes = sizeof(rows_data) + floats * sizeof(float);
    s->data = ek_aligned_alloc(s->data_bytes);
    if (s->data != NULL) memset(s->data, 0, s->data_bytes);
    return s->data;
}

static inline int same(const ek_nn_buf *x, const ek_nn_buf *y) {
    return x != NULL && y != NULL && x->lanes == y->lanes && x->items == y->items && x->c == y->c &&
           x->h == y->h && x->w == y->w;
}

static inline int plain(const ek_nn_buf *b) {
    return b != NULL && b->lanes == 1 && !ek_nn_has_border(b);
}

static inline int activation(const ek_nn_args *a, size_t at) {
    return a->ints[at] >= 0 && a->ints[at] < EK_ACT_COUNT;
}

static inline size_t border_unit(const ek_nn_step *s, size_t out) {
    return (size_t)ek_nn_has_border(s->buf[out]);
}

/* ints rows per sample, length; both buffers plain */
static inline int row_shape(const ek_nn_step *s, const ek_nn_args *a) {
    size_t size;
    return a->nbufs == 2 && a->nints == 2 && plain(s->buf[0]) && plain(s->buf[1]) &&
           a->ints[0] >= 1 && a->ints[1] >= 1 &&
           !__builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[1], &size) &&
           size == s->buf[0]->size && size == s->buf[1]->size;
}

static inline size_t row_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * (size_t)((const rows_data *)s->data)->rows;
}

#endif
