/* softmax   bufs in, out   ints rows per sample, length, logarithm (0 or 1): plain. The shortest op
 *           there is: copy it. */
#include "nn_rows.h"
#include <math.h>

static ek_status softmax_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nints != 3) return EK_EVALUE;
    ek_nn_args shape = *a;
    shape.nints = 2;
    if (!row_shape(s, &shape)) return EK_EVALUE;
    rows_data *d = rows_new(s, 0);
    if (d == NULL) return EK_ENOMEM;
    d->rows = a->ints[0];
    d->length = a->ints[1];
    d->kind = a->ints[2];
    return EK_OK;
}

/* x - max - log(sum exp(x - max)), the sum in double */
static void log_softmax(const ek_nn_isa *isa, const float *x, float *o, size_t n) {
    float top = x[0];
    for (size_t i = 1; i < n; i++) top = x[i] > top || isnan(x[i]) ? x[i] : top;
    for (size_t i = 0; i < n; i++) o[i] = x[i] - top;
    isa->act(EK_ACT_EXP, 0.0f, o, n);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)o[i];
    const double shift = log(sum);
    for (size_t i = 0; i < n; i++) o[i] = (float)((double)(x[i] - top) - shift);
}

static ek_status softmax_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                             ek_arena *tmp) {
    const rows_data *d = s->data;
    const size_t n = (size_t)d->length;
    const float *x = ek_nn_at(c, s->buf[0]);
    float *o = ek_nn_at(c, s->buf[1]);
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (d->kind)
            log_softmax(s->isa, x + u * n, o + u * n, n);
        else
            s->isa->softmax(x + u * n, o + u * n, n);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_softmax = {"softmax", softmax_init, row_units, softmax_run};
