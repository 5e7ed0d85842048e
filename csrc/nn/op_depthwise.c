/* Depthwise convolution and the direct fallback for odd groups.
 *   depthwise  bufs in, out   ints kh kw sh sw dh dw top left act   reals act parameter
 *              arrays weight (c, kh, kw), bias (c); blocked to blocked
 *   conv_any   bufs in, out   ints kh kw sh sw dh dw top left groups act   reals act parameter
 *              arrays weight (cout, cin/groups, kh, kw), bias (cout); plain to plain, one output
 * row at a time */
#include "nn_step.h"
#include <math.h>
#include <string.h>

typedef struct {
    size_t kh, kw, sh, sw, dh, dw, top, left, groups;
    float lo, hi, param;
    ek_act act;
    float values[]; /* depthwise: per block bias 16, weights (kh, kw, 16); conv_any: bias, then
                       weights */
} dw_data;

static dw_data *dw_new(ek_nn_step *s, const ek_nn_args *a, size_t floats, int64_t groups,
                       int64_t act) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    for (size_t i = 0; i < 8; i++)
        if (a->ints[i] < (i < 6 ? 1 : 0) || a->ints[i] > INT32_MAX) return NULL;
    if (act < 0 || act >= EK_ACT_COUNT || groups < 1 || groups > INT32_MAX) return NULL;
    s->data_bytes = sizeof(dw_data) + floats * sizeof(float);
    dw_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return NULL;
    memset(d, 0, s->data_bytes);
    d->kh = (size_t)a->ints[0], d->kw = (size_t)a->ints[1], d->sh = (size_t)a->ints[2],
    d->sw = (size_t)a->ints[3];
    d->dh = (size_t)a->ints[4], d->dw = (size_t)a->ints[5], d->top = (size_t)a->ints[6],
    d->left = (size_t)a->ints[7];
    d->groups = (size_t)groups;
    d->lo = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? 0.0f : -INFINITY;
    d->hi = act == EK_ACT_RELU6 ? 6.0f : INFINITY;
    d->act = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? EK_ACT_NONE : (ek_act)act;
    d->param = (float)a->reals[0];
    if (d->top > in->top || d->left > in->left || out->h == 0 || out->w == 0 ||
        in->items != out->items ||
        (out->h - 1) * d->sh + (d->kh - 1) * d->dh >= d->top + in->h + in->bottom ||
        (out->w - 1) * d->sw + (d->kw - 1) * d->dw >= d->left + in->w + in->right)
        return NULL; /* the caller frees s->data */
    return d;
}

static ek_status dw_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 9 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    if (in == NULL || out == NULL || in->lanes != EK_LANES || out->lanes != EK_LANES ||
        in->c != out->c)
        return EK_EVALUE;
    size_t taps, floats, all;
    if (a->ints[0] < 1 || a->ints[1] < 1 ||
        __builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[1], &taps) ||
        __builtin_mul_overflow(taps, in->c, &floats) || floats != a->lengths[0] ||
        a->lengths[1] != in->c || __builtin_mul_overflow((taps + 1) * EK_LANES, in->blocks, &all))
        return EK_EVALUE;
    dw_data *d = dw_new(s, a, all, 1, a->ints[8]);
    if (d == NULL) return s->data_bytes && s->data == NULL ? EK_ENOMEM : EK_EVALUE;
    for (size_t c = 0; c < in->c; c++) {
        float *block = d->values + c / EK_LANES * (taps + 1) * EK_LANES,
              *lane = block + c % EK_LANES;
        lane[0] = a->arrays[1][c];
        for (size_t t = 0; t < taps; t++) lane[(t + 1) * EK_LANES] = a->arrays[0][c * taps + t];
    }
    return EK_OK;
}

/* Units are blocks of channels, or, in a picture with more positions than channels, bands of rows:
 * the way the products before and after are shared. */
typedef struct {
    size_t bands, blocks, units;
} dw_grid;

static dw_grid dw_cut(const ek_nn_step *s, const ek_nn_call *c) {
    const ek_nn_buf *out = s->buf[1];
    dw_grid g = {.bands = 1, .blocks = out->blocks};
    if (c->threads > 1 && out->h * out->w > out->c && out->h >= 4 * c->threads)
        g = (dw_grid){4 * c->threads, 1, 0};
    g.units = c->n * out->items * g.bands * g.blocks;
    return g;
}

static size_t dw_units(const ek_nn_step *s, const ek_nn_call *c) {
    return dw_cut(s, c).units + (size_t)ek_nn_has_border(s->buf[1]);
}

/* Rows y0..y1 of one block of one picture. */
static void dw_rows(const ek_nn_step *s, const ek_nn_call *c, size_t plane, size_t y0, size_t y1) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    const dw_data *d = s->data;
    const float *values = d->values + plane % out->blocks * (d->kh * d->kw + 1) * EK_LANES;
    const float *x = ek_nn_at(c, in) + plane * in->plane + (in->top - d->top) * in->pitch +
                     (in->left - d->left) * EK_LANES;
    float *o = ek_nn_at(c, out) + plane * out->plane + out->origin;
    ek_dw_row row = {.w = values + EK_LANES,
                     .bias = values,
                     .n = out->w,
                     .kh = d->kh,
                     .kw = d->kw,
                     .step = (ptrdiff_t)(d->sw * EK_LANES),
                     .tap_y = (ptrdiff_t)(d->dh * in->pitch),
                     .tap_x = (ptrdiff_t)(d->dw * EK_LANES),
                     .lo = d->lo,
                     .hi = d->hi};
    for (size_t y = y0; y < y1; y++) {
        row.x = x + y * d->sh * in->pitch;
        row.out = o + y * out->pitch;
        s->isa->dw_row(&row);
        if (d->act != EK_ACT_NONE) s->isa->act(d->act, d->param, row.out, out->w * EK_LANES);
    }
}

static ek_status dw_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                        ek_arena *tmp) {
    const ek_nn_buf *out = s->buf[1];
    const dw_grid g = dw_cut(s, c);
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == g.units) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        if (g.bands == 1) {
            dw_rows(s, c, u, 0, out->h);
            continue;
        }
        const size_t item = u / g.bands, band = u % g.bands;
        for (size_t b = 0; b < out->blocks; b++)
            dw_rows(s, c, item * out->blocks + b, out->h * band / g.bands,
                    out->h * (band + 1) / g.bands);
    }
    return EK_OK;
}

const ek_nn_op ek_nn_depthwise = {"depthwise", dw_init, dw_units, dw_run};

static ek_status any_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 10 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    if (in == NULL || out == NULL || in->lanes != 1 || out->lanes != 1 || a->ints[8] < 1)
        return EK_EVALUE;
    const size_t groups = (size_t)a->ints[8];
    size_t taps, floats;
    if (in->c % groups || out->c % groups || a->ints[0] < 1 || a->ints[1] < 1 ||
        __builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[1], &taps) ||
        __builtin_mul_overflow(taps, in->c / groups * out->c, &floats) || floats != a->lengths[0] ||
        a->lengths[1] != out->c)
        return EK_EVALUE;
    dw_data *d = dw_new(s, a, floats + out->c, a->ints[8], a->ints[9]);
    if (d == NULL) return s->data_bytes && s->data == NULL ? EK_ENOMEM : EK_EVALUE;
    memcpy(d->values, a->arrays[1], out->c * sizeof(float));
    memcpy(d->values + out->c, a->arrays[0], floats * sizeof(float));
    return EK_OK;
}

static size_t any_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * s->buf[1]->items * s->buf[1]->c + (size_t)ek_nn_has_border(s->buf[1]);
}

enum { ANY_PIECE = 128 }; /* outputs summed together */

static ek_status any_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                         ek_arena *tmp) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    const dw_data *d = s->data;
    const size_t cin = in->c / d->groups, cout = out->c / d->groups, taps = d->kh * d->kw;
    const size_t planes = c->n * out->items * out->c;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == planes) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        const size_t item = u / out->c, oc = u % out->c, first = oc / cout * cin;
        const float *x = ek_nn_at(c, in) + item * in->item + (in->top - d->top) * in->pitch +
                         (in->left - d->left);
        const float *w = d->values + out->c + oc * cin * taps;
        for (size_t y = 0; y < out->h; y++) {
            float *o = ek_nn_at(c, out) + u * out->plane + out->origin + y * out->pitch;
            for (size_t i0 = 0; i0 < out->w; i0 += ANY_PIECE) {
                const size_t n = out->w - i0 < ANY_PIECE ? out->w - i0 : ANY_PIECE;
                double sum[ANY_PIECE]; /* long sums of few channels a group stay exact */
                for (size_t i = 0; i < n; i++) sum[i] = (double)d->values[oc];
                for (size_t k = 0; k < cin * taps; k++) {
                    const float *p = x + (first + k / taps) * in->plane +
                                     (y * d->sh + k % taps / d->kw * d->dh) * in->pitch +
                                     k % d->kw * d->dw + i0 * d->sw;
                    const double wk = (double)w[k];
                    for (size_t i = 0; i < n; i++) sum[i] += wk * (double)p[i * d->sw];
                }
                for (size_t i = 0; i < n; i++) o[i0 + i] = (float)sum[i];
            }
            for (size_t i = 0; i < out->w; i++) {
                const float v = o[i] < d->lo ? d->lo : o[i];
                o[i] = v > d->hi ? d->hi : v;
            }
            if (d->act != EK_ACT_NONE) s->isa->act(d->act, d->param, o, out->w);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_conv_any = {"conv_any", any_init, any_units, any_run};
