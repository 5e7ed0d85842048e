/* act   bufs in, out   ints act   reals parameter: same shape and lanes */
#include "nn_rows.h"

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
