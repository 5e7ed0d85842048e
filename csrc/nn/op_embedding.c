/* Tables.
 *   embedding   bufs ids, out   ints ids per sample, table length, width   arrays table
 *               plain; an id that is no whole number in 0..length-1 ends the run with EK_EVALUE
 *   constant    bufs out        arrays the values: the same in every sample; plain */
#include "nn_rows.h"

typedef struct {
    size_t ids, length, width;
    float table[];
} table_data;

static table_data *table_new(ek_nn_step *s, const float *values, size_t count) {
    size_t bytes;
    if (__builtin_mul_overflow(count, sizeof(float), &bytes)) return NULL;
    s->data_bytes = sizeof(table_data) + bytes;
    table_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d != NULL) memcpy(d->table, values, bytes);
    return d;
}

static ek_status embedding_init(ek_nn_step *s, const ek_nn_args *a) {
    size_t table, out;
    if (a->nbufs != 2 || a->nints != 3 || a->narrays != 1 || !plain(s->buf[0]) ||
        !plain(s->buf[1]) || a->ints[0] < 1 || a->ints[1] < 1 || a->ints[2] < 1 ||
        __builtin_mul_overflow((size_t)a->ints[1], (size_t)a->ints[2], &table) ||
        __builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[2], &out) ||
        table != a->lengths[0] || s->buf[0]->size != (size_t)a->ints[0] || s->buf[1]->size != out)
        return EK_EVALUE;
    table_data *d = table_new(s, a->arrays[0], table);
    if (d == NULL) return EK_ENOMEM;
    d->ids = (size_t)a->ints[0];
    d->length = (size_t)a->ints[1];
    d->width = (size_t)a->ints[2];
    return EK_OK;
}

static size_t embedding_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * ((const table_data *)s->data)->ids;
}

static ek_status embedding_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                               ek_arena *tmp) {
    const table_data *d = s->data;
    const float *ids = ek_nn_at(c, s->buf[0]);
    float *o = ek_nn_at(c, s->buf[1]);
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float id = ids[u];
        if (!(id >= 0.0f && id < (float)d->length) || id != (float)(size_t)id) return EK_EVALUE;
        memcpy(o + u * d->width, d->table + (size_t)id * d->width, d->width * sizeof(float));
    }
    return EK_OK;
}

const ek_nn_op ek_nn_embedding = {"embedding", embedding_init, embedding_units, embedding_run};

static ek_status constant_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 1 || a->narrays != 1 || !plain(s->buf[0]) || a->lengths[0] != s->buf[0]->size)
        return EK_EVALUE;
    return table_new(s, a->arrays[0], a->lengths[0]) == NULL ? EK_ENOMEM : EK_OK;
}

static size_t constant_units(const ek_nn_step *s, const ek_nn_call *c) {
    (void)s;
    return c->n;
}

static ek_status constant_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                              ek_arena *tmp) {
    const table_data *d = s->data;
    const size_t n = s->buf[0]->size;
    (void)tmp;
    for (size_t u = begin; u < end; u++)
        memcpy(ek_nn_at(c, s->buf[0]) + u * n, d->table, n * sizeof(float));
    return EK_OK;
}

const ek_nn_op ek_nn_constant = {"constant", constant_init, constant_units, constant_run};
