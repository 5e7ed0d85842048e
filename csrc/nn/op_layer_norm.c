/* layer_norm   bufs in, out   ints rows per sample, length   reals eps   arrays scale, shift
 * (length): plain */
#include "nn_rows.h"

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
