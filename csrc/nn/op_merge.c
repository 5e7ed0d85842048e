/* The end of a residual block with squeeze and excite, in one pass.
 *   merge   bufs h, factor, res, out, [twin]   ints pool before act twin's act   reals their
 *           parameters
 *           out = act(h * factor + shortcut(res)), twin = act'(out)
 *           h, out, twin blocked alike; factor plain, one number per channel of every item; res
 *           blocked, as many rows. shortcut: channel c of out meets channel c - `before` of res,
 *           zero where there is none; pool: position x of out meets the larger of res's positions
 *           2x and 2x + 1, zero beyond its end */
#include "nn_rows.h"

enum { STRIP = 64 }; /* positions that stay in the first cache through all passes */

typedef struct {
    int64_t pool, before, act, twin_act;
    float param, twin_param;
} merge_data;

static ek_status merge_init(ek_nn_step *s, const ek_nn_args *a) {
    if ((a->nbufs != 4 && a->nbufs != 5) || a->nints != 4 || a->nreals != 2) return EK_EVALUE;
    const ek_nn_buf *h = s->buf[0], *factor = s->buf[1], *res = s->buf[2], *out = s->buf[3];
    if (!same(h, out) || h->lanes != EK_LANES || !plain(factor) || res == NULL ||
        res->lanes != EK_LANES || res->items != h->items || res->h != h->h ||
        factor->size != h->items * h->c || !activation(a, 2) || !activation(a, 3))
        return EK_EVALUE;
    if (a->nbufs == 5 && !same(h, s->buf[4])) return EK_EVALUE;
    if (a->ints[0] < 0 || a->ints[0] > 1 || a->ints[1] < 0 || (size_t)a->ints[1] > h->c ||
        (size_t)a->ints[1] + res->c > h->c || h->w != (a->ints[0] ? ek_nn_ceil(res->w, 2) : res->w))
        return EK_EVALUE;
    s->data_bytes = sizeof(merge_data);
    merge_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    *d = (merge_data){a->ints[0], a->ints[1],         a->ints[2],
                      a->ints[3], (float)a->reals[0], (float)a->reals[1]};
    return EK_OK;
}

/* Units are blocks of channels, cut along rows where threads would find too few. */
static size_t merge_parts(const ek_nn_step *s, const ek_nn_call *c) {
    const ek_nn_buf *h = s->buf[0];
    const size_t strips = ek_nn_ceil(h->w, STRIP);
    if (c->threads == 1 || h->items * c->n * h->blocks >= 4 * c->threads) return 1;
    return strips < 2 * c->threads ? strips : 2 * c->threads;
}

static size_t merge_units(const ek_nn_step *s, const ek_nn_call *c) {
    return c->n * s->buf[0]->items * s->buf[0]->blocks * merge_parts(s, c) + 1;
}

/* n positions of one block of res from position x on, all lanes of it. */
static const float *row_of(const ek_nn_step *s, const float *row, size_t x, size_t n, float *to) {
    const merge_data *d = s->data;
    const ek_nn_buf *res = s->buf[2];
    const float *p = row + (d->pool ? 2 : 1) * x * EK_LANES;
    if (!d->pool) return p;
    const size_t pairs = 2 * (x + n) > res->w ? n - 1 : n;
    s->isa->pair_max(p, to, pairs);
    if (pairs < n) {
        float last[2 * EK_LANES] = {0};
        memcpy(last, p + 2 * pairs * EK_LANES, EK_LANES * sizeof(float));
        s->isa->pair_max(last, to + pairs * EK_LANES, 1);
    }
    return to;
}

/* The shortcut of n positions of out's block b. */
static void shortcut(const ek_nn_step *s, const float *item, size_t y, size_t b, size_t x, size_t n,
                     float *part, float *to) {
    const merge_data *d = s->data;
    const ek_nn_buf *res = s->buf[2];
    const ptrdiff_t first = (ptrdiff_t)(b * EK_LANES) - d->before; /* res's channel in lane 0 */
    memset(to, 0, n * EK_LANES * sizeof(float));
    for (ptrdiff_t lane = 0; lane < EK_LANES;) {
        const ptrdiff_t channel = first + lane, at = channel & (EK_LANES - 1);
        const ptrdiff_t count = EK_LANES - (at > lane ? at : lane);
        if (channel >= 0 && channel < (ptrdiff_t)res->c) {
            const ptrdiff_t left = (ptrdiff_t)res->c - channel, take = left < count ? left : count;
            const float *row =
                item + (size_t)channel / EK_LANES * res->plane + res->origin + y * res->pitch;
            const float *from = row_of(s, row, x, n, part);
            if (take == EK_LANES)
                memcpy(to, from, n * EK_LANES * sizeof(float));
            else
                for (size_t i = 0; i < n * EK_LANES; i += EK_LANES)
                    for (ptrdiff_t l = 0; l < take; l++)
                        to[(ptrdiff_t)i + lane + l] = from[(ptrdiff_t)i + at + l];
        }
        lane += count;
    }
}

static ek_status merge_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                           ek_arena *tmp) {
    static const float none[EK_LANES] = {0};
    const merge_data *d = s->data;
    const ek_nn_buf *h = s->buf[0], *res = s->buf[2], *out = s->buf[3];
    const ek_nn_buf *twin = s->nbufs > 4 ? s->buf[4] : NULL;
    const size_t parts = merge_parts(s, c), planes = c->n * h->items * h->blocks;
    float part[STRIP * EK_LANES], add[STRIP * EK_LANES];
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == planes * parts) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            if (twin != NULL) ek_nn_zero_border(twin, ek_nn_at(c, twin), 0, c->n * twin->items);
            break;
        }
        const size_t plane = u / parts, item = plane / h->blocks, b = plane % h->blocks;
        const size_t x0 = h->w * (u % parts) / parts, x1 = h->w * (u % parts + 1) / parts;
        const size_t first = b * EK_LANES,
                     lanes = h->c - first < EK_LANES ? h->c - first : EK_LANES;
        float scale[EK_LANES] = {0};
        memcpy(scale, ek_nn_at(c, s->buf[1]) + item * h->c + first, lanes * sizeof(float));
        const float *source = ek_nn_at(c, res) + item * res->item;
        for (size_t y = 0; y < h->h; y++)
            for (size_t x = x0; x < x1; x += STRIP) {
                const size_t n = x1 - x < STRIP ? x1 - x : STRIP, floats = n * EK_LANES;
                const float *p =
                    ek_nn_at(c, h) + plane * h->plane + h->origin + y * h->pitch + x * EK_LANES;
                float *o = ek_nn_at(c, out) + plane * out->plane + out->origin + y * out->pitch +
                           x * EK_LANES;
                shortcut(s, source, y, b, x, n, part, add);
                s->isa->affine16(p, scale, none, o, n);
                s->isa->add(o, add, o, floats);
                if (d->act != EK_ACT_NONE) s->isa->act((ek_act)d->act, d->param, o, floats);
                if (twin == NULL) continue;
                float *t = ek_nn_at(c, twin) + plane * twin->plane + twin->origin +
                           y * twin->pitch + x * EK_LANES;
                memcpy(t, o, floats * sizeof(float));
                s->isa->act((ek_act)d->twin_act, d->twin_param, t, floats);
            }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_merge = {"merge", merge_init, merge_units, merge_run};
