/* affine   bufs in, out   ints act   reals parameter   arrays scale (c), shift (c): batch norm on
 * its own; same shape and lanes */
#include "nn_rows.h"

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
