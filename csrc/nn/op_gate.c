/* gate   bufs x, factor, out   ints kind (0 add, 1 multiply) act   reals parameter
 *        x and out blocked alike; factor plain, one number per channel of every item: squeeze and
 *        excite without leaving the layout of the convolutions around it */
#include "nn_rows.h"

static ek_status gate_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 3 || a->nints != 2 || a->nreals != 1 || !same(s->buf[0], s->buf[2]) ||
        s->buf[0]->lanes != EK_LANES || !plain(s->buf[1]) ||
        s->buf[1]->size != s->buf[0]->items * s->buf[0]->c || a->ints[0] < 0 || a->ints[0] > 1 ||
        !activation(a, 1))
        return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->kind = a->ints[0];
    d->act = a->ints[1];
    d->param = (float)a->reals[0];
    return EK_OK;
}

static size_t gate_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * s->buf[0]->items * s->buf[0]->blocks + border_unit(s, 2);
}

static ek_status gate_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const rows_data *d = s->data;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[2];
    const size_t planes = c->n * in->items * in->blocks;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == planes) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        const size_t first = u % in->blocks * EK_LANES;
        const size_t lanes = in->c - first < EK_LANES ? in->c - first : EK_LANES;
        const float *factor = ek_nn_at(c, s->buf[1]) + u / in->blocks * in->c + first;
        float given[EK_LANES] = {0}, other[EK_LANES];
        memcpy(given, factor, lanes * sizeof(float));
        for (size_t l = 0; l < EK_LANES; l++) other[l] = d->kind ? 0.0f : 1.0f;
        const float *scale = d->kind ? given : other, *shift = d->kind ? other : given;
        const float *x = ek_nn_at(c, in) + u * in->plane + in->origin;
        float *o = ek_nn_at(c, out) + u * out->plane + out->origin;
        for (size_t y = 0; y < in->h; y++, x += in->pitch, o += out->pitch) {
            s->isa->affine16(x, scale, shift, o, in->w);
            if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, in->w * EK_LANES);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_gate = {"gate", gate_init, gate_units, gate_run};
