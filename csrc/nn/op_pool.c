/* Windows over blocked pictures.
 *   pool    bufs in, out   ints kind (0 max, 1 average, 2 adaptive average, 3 adaptive max)
 *           kh kw sh sw dh dw top left bottom right count_pad
 *           blocked to blocked; count_pad: an average divides by the window's size with the padding
 *           in it. Adaptive: the other ints are ignored; out may be plain with one position per
 *           channel */
#include "nn_step.h"
#include <string.h>

enum { POOL_MAX, POOL_AVG, POOL_ADAPTIVE, POOL_ADAPTIVE_MAX };

typedef struct {
    int64_t kind, kh, kw, sh, sw, dh, dw, top, left, bottom, right, count_pad;
} pool_data;

static ek_status pool_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || a->nints != 12) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    if (in == NULL || out == NULL || in->lanes != EK_LANES || in->items != out->items ||
        in->c != out->c)
        return EK_EVALUE;
    pool_data d;
    memcpy(&d, a->ints, sizeof d);
    if (out->lanes != EK_LANES &&
        (out->h * out->w != 1 || ek_nn_has_border(out) || d.kind < POOL_ADAPTIVE))
        return EK_EVALUE;
    if (d.kind < POOL_MAX || d.kind > POOL_ADAPTIVE_MAX) return EK_EVALUE;
    for (size_t i = 0; i < 11; i++)
        if (a->ints[i] < (i >= 1 && i <= 6 ? 1 : 0) || a->ints[i] > INT32_MAX) return EK_EVALUE;
    if (d.kind == POOL_AVG && (d.dh != 1 || d.dw != 1)) return EK_EVALUE;
    s->data = ek_aligned_alloc(sizeof d);
    if (s->data == NULL) return EK_ENOMEM;
    memcpy(s->data, &d, sizeof d);
    s->data_bytes = sizeof d;
    return EK_OK;
}

static size_t pool_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * s->buf[0]->items * s->buf[0]->blocks + (size_t)ek_nn_has_border(s->buf[1]);
}

typedef struct {
    size_t begin, end, full; /* inside the picture; the window's length with padding */
} span;

/* Taps of output o along one axis of n inputs, for windows without dilation. */
static span window(const pool_data *d, size_t o, size_t outs, size_t n, int64_t k, int64_t stride,
                   int64_t pad, int64_t after) {
    if (d->kind >= POOL_ADAPTIVE) {
        const size_t begin = o * n / outs, end = ((o + 1) * n + outs - 1) / outs;
        return (span){begin, end, end - begin};
    }
    const int64_t begin = (int64_t)o * stride - pad, end = begin + k, limit = (int64_t)n;
    const int64_t padded = end < limit + after ? end : limit + after;
    const int64_t first = begin > 0 ? begin : 0, last = end < limit ? end : limit;
    if (last <= first) return (span){0, 0, (size_t)(padded > begin ? padded - begin : 1)};
    return (span){(size_t)first, (size_t)last, (size_t)(padded - begin)};
}

/* A max over dilated taps: each tap is a window of its own, so take them one by one. */
static void dilated_max(const ek_nn_step *s, const pool_data *d, ek_window *w, const ek_nn_buf *in,
                        size_t oy, size_t ox) {
    float best[EK_LANES], one[EK_LANES], *out = w->out;
    for (size_t l = 0; l < EK_LANES; l++) best[l] = -__builtin_inff();
    for (int64_t ky = 0; ky < d->kh; ky++)
        for (int64_t kx = 0; kx < d->kw; kx++) {
            const int64_t y = (int64_t)oy * d->sh - d->top + ky * d->dh,
                          x = (int64_t)ox * d->sw - d->left + kx * d->dw;
            if (y < 0 || x < 0 || y >= (int64_t)in->h || x >= (int64_t)in->w) continue;
            w->y0 = (size_t)y, w->y1 = w->y0 + 1, w->x0 = (size_t)x, w->x1 = w->x0 + 1;
            w->out = one;
            s->isa->max_window(w);
            for (size_t l = 0; l < EK_LANES; l++)
                if (one[l] > best[l] || one[l] != one[l]) best[l] = one[l];
        }
    memcpy(out, best, sizeof best);
}

static ek_status pool_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    const pool_data *d = s->data;
    const size_t planes = c->n * in->items * in->blocks;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == planes) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        const size_t item = u / in->blocks, block = u % in->blocks, left = in->c - block * EK_LANES;
        const int plain = out->lanes == 1;
        ek_window w = {.x = ek_nn_at(c, in) + u * in->plane + in->origin,
                       .pitch = (ptrdiff_t)in->pitch};
        w.lanes = plain && left < EK_LANES ? left : EK_LANES;
        float *o = ek_nn_at(c, out) +
                   (plain ? item * out->item + block * EK_LANES : u * out->plane + out->origin);
        for (size_t y = 0; y < out->h; y++) {
            const span sy = window(d, y, out->h, in->h, d->kh, d->sh, d->top, d->bottom);
            for (size_t x = 0; x < out->w; x++) {
                const span sx = window(d, x, out->w, in->w, d->kw, d->sw, d->left, d->right);
                w.y0 = sy.begin, w.y1 = sy.end, w.x0 = sx.begin, w.x1 = sx.end;
                w.out = o + y * out->pitch + x * out->lanes;
                if (d->kind == POOL_MAX || d->kind == POOL_ADAPTIVE_MAX) {
                    if (d->dh > 1 || d->dw > 1)
                        dilated_max(s, d, &w, in, y, x);
                    else
                        s->isa->max_window(&w);
                    continue;
                }
                const size_t inside = (w.y1 - w.y0) * (w.x1 - w.x0), whole = sy.full * sx.full;
                w.scale = 1.0f / (float)(d->kind == POOL_AVG && d->count_pad ? whole : inside);
                s->isa->mean_window(&w);
            }
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_pool = {"pool", pool_init, pool_units, pool_run};
