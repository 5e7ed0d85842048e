/* 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 16 products for 4 outputs of 9 taps, 2.25
 * times fewer than direct. Its error against float64 is that of the direct sum
 * (tests/test_nn_functional.py): the sums are shorter. winograd  bufs in, out, [res]   ints top
 * left act   reals act parameter   arrays weight (cout, cin, 3, 3), bias (cout) all blocked; the
 * input's border reaches the last whole 2x2 tile A unit is a chunk of tiles: their 4x4 input
 * patches are transformed into (16, blocks, tiles, 16), multiplied by the transformed weights panel
 * by panel, and the results transformed back while they are in the cache. */
#include "nn_step.h"
#include <math.h>
#include <string.h>

enum { POINTS = 16, PATCH_BYTES = 512 << 10, K_STRETCH = 128 };

typedef struct {
    size_t cin, cout, blocks, panels, tiles_y, tiles_x, chunk, top, left;
    float lo, hi, param;
    ek_act act;
    size_t bias, weight; /* where they start in values */
    float values[];      /* 32 zeros, bias per panel, weights (panel, point, cin, width of panel) */
} wino_data;

/* g (3, 3) -> G g G^T (4, 4), in double. */
static void transform_weight(const float *g, double *u) {
    double half[4][3];
    for (size_t j = 0; j < 3; j++) {
        const double a = (double)g[j], b = (double)g[3 + j], c = (double)g[6 + j];
        half[0][j] = a;
        half[1][j] = 0.5 * (a + b + c);
        half[2][j] = 0.5 * (a - b + c);
        half[3][j] = c;
    }
    for (size_t i = 0; i < 4; i++) {
        const double a = half[i][0], b = half[i][1], c = half[i][2];
        u[4 * i] = a;
        u[4 * i + 1] = 0.5 * (a + b + c);
        u[4 * i + 2] = 0.5 * (a - b + c);
        u[4 * i + 3] = c;
    }
}

static ek_status wino_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 2 || a->nints != 3 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1], *res = a->nbufs > 2 ? s->buf[2] : NULL;
    if (in == NULL || out == NULL || in->lanes != EK_LANES || out->lanes != EK_LANES ||
        in->items != out->items)
        return EK_EVALUE;
    if (a->ints[0] < 0 || a->ints[1] < 0 || a->ints[2] < 0 || a->ints[2] >= EK_ACT_COUNT ||
        out->h == 0 || out->w == 0)
        return EK_EVALUE;
    if (res != NULL && (res->lanes != EK_LANES || res->c != out->c || res->h != out->h ||
                        res->w != out->w || res->items != out->items))
        return EK_EVALUE;
    const size_t width = s->isa->width, wide = 2 * width, cin = in->c, cout = out->c;
    const size_t panels = ek_nn_ceil(cout, wide), top = (size_t)a->ints[0],
                 left = (size_t)a->ints[1];
    const size_t tiles_y = ek_nn_ceil(out->h, 2), tiles_x = ek_nn_ceil(out->w, 2);
    if (top > in->top || left > in->left || 2 * tiles_y + 2 > top + in->h + in->bottom ||
        2 * tiles_x + 2 > left + in->w + in->right)
        return EK_EVALUE;
    size_t weights, floats;
    if (__builtin_mul_overflow(cin, cout, &weights) || a->lengths[0] != 9 * weights ||
        a->lengths[1] != cout || __builtin_mul_overflow(cin * POINTS, panels * wide, &floats))
        return EK_EVALUE;
    const size_t before = wide + panels * wide;
    s->data_bytes = sizeof(wino_data) + (before + floats) * sizeof(float);
    wino_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    memset(d, 0, s->data_bytes);
    *d = (wino_data){.cin = cin,
                     .cout = cout,
                     .blocks = in->blocks,
                     .panels = panels,
                     .tiles_y = tiles_y,
                     .tiles_x = tiles_x,
                     .top = top,
                     .left = left,
                     .bias = wide,
                     .weight = before};
    d->chunk = PATCH_BYTES / sizeof(float) / (POINTS * in->blocks * EK_LANES);
    if (d->chunk < s->isa->rows) d->chunk = s->isa->rows;
    const int64_t act = a->ints[2];
    d->lo = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? 0.0f : -INFINITY;
    d->hi = act == EK_ACT_RELU6 ? 6.0f : INFINITY;
    d->act = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? EK_ACT_NONE : (ek_act)act;
    d->param = (float)a->reals[0];
    for (size_t j = 0; j < cout; j++) d->values[d->bias + j] = a->arrays[1][j];
    for (size_t j = 0; j < cout; j++)
        for (size_t c = 0; c < cin; c++) {
            double u[POINTS];
            transform_weight(a->arrays[0] + (j * cin + c) * 9, u);
            float *w = d->values + d->weight + (j / wide * POINTS * cin + c) * wide + j % wide;
            for (size_t p = 0; p < POINTS; p++) w[p * cin * wide] = (float)u[p];
        }
    return EK_OK;
}

typedef struct {
    size_t total, chunk, chunks;
} wino_grid;

static wino_grid wino_chunks(const ek_nn_step *s, const ek_nn_call *c) {
    const wino_data *d = s->data;
    wino_grid g = {.total = c->n * s->buf[1]->items * d->tiles_y * d->tiles_x, .chunk = d->chunk};
    if (c->threads > 1) {
        const size_t share = ek_nn_ceil(g.total, 2 * c->threads);
        if (share < g.chunk) g.chunk = share;
    }
    if (g.chunk < s->isa->rows) g.chunk = s->isa->rows;
    g.chunks = ek_nn_ceil(g.total, g.chunk);
    g.chunk = ek_nn_ceil(g.total, g.chunks);
    return g;
}

static size_t wino_units(const ek_nn_step *s, const ek_nn_call *c) {
    return wino_chunks(s, c).chunks + (size_t)ek_nn_has_border(s->buf[1]);
}

/* Tiles t0..t1 row by row: `first` tile of the row, `n` of them, in picture `item` at tile row y,
 * column x. */
typedef struct {
    size_t item, y, x, n, first;
} stripe;

static int next_stripe(const wino_data *d, size_t t0, size_t t1, stripe *r) {
    const size_t at = t0 + r->first + r->n;
    if (at >= t1) return 0;
    const size_t per_item = d->tiles_y * d->tiles_x;
    r->first = at - t0;
    r->item = at / per_item;
    r->y = at % per_item / d->tiles_x;
    r->x = at % d->tiles_x;
    r->n = d->tiles_x - r->x;
    if (r->n > t1 - at) r->n = t1 - at;
    return 1;
}

static void gather(const ek_nn_step *s, const ek_nn_call *c, size_t t0, size_t t1, size_t stride,
                   float *v) {
    const wino_data *d = s->data;
    const ek_nn_buf *in = s->buf[0];
    stripe r = {0};
    while (next_stripe(d, t0, t1, &r)) {
        const float *x = ek_nn_at(c, in) + r.item * in->item +
                         (in->top - d->top + 2 * r.y) * in->pitch +
                         (in->left - d->left + 2 * r.x) * EK_LANES;
        for (size_t b = 0; b < d->blocks; b++)
            s->isa->wino_in(x + b * in->plane, in->pitch, r.n,
                            v + (b * stride + r.first) * EK_LANES, d->blocks * stride * EK_LANES);
    }
}

/* One tile again, directly. `j`: the block's first column in its panel. */
static void mend(const ek_nn_step *s, const ek_nn_call *c, const stripe *r, size_t t, size_t panel,
                 size_t j, const ek_wino_out *o) {
    const wino_data *d = s->data;
    const ek_nn_buf *in = s->buf[0];
    const size_t wide = 2 * s->isa->width, lanes = wide - j < EK_LANES ? wide - j : EK_LANES;
    const size_t point = d->cin * wide;
    const float *x = ek_nn_at(c, in) + r->item * in->item +
                     (in->top - d->top + 2 * r->y) * in->pitch +
                     (in->left - d->left + 2 * (r->x + t)) * EK_LANES;
    for (size_t y = 0; y < o->rows; y++)
        for (size_t k = 0; k < 2 && 2 * t + k < o->columns; k++)
            for (size_t l = 0; l < lanes; l++) {
                double sum = (double)o->bias[l];
                for (size_t ch = 0; ch < d->cin; ch++) {
                    const float *u =
                        d->values + d->weight + (panel * POINTS * d->cin + ch) * wide + j + l;
                    const float *p = x + ch / EK_LANES * in->plane + ch % EK_LANES + y * in->pitch +
                                     k * EK_LANES;
                    float half[4][3]; /* U = G g G^T: the middle tap is a difference, the outer ones
                                         are there */
                    for (size_t i = 0; i < 4; i++) {
                        const float *row = u + 4 * i * point;
                        half[i][0] = row[0];
                        half[i][1] = row[point] - row[2 * point];
                        half[i][2] = row[3 * point];
                    }
                    for (size_t i = 0; i < 3; i++) {
                        const float g[3] = {half[0][i], half[1][i] - half[2][i], half[3][i]};
                        for (size_t ky = 0; ky < 3; ky++)
                            sum += (double)g[ky] * (double)p[ky * in->pitch + i * EK_LANES];
                    }
                }
                const size_t column = 2 * t + k;
                float v = (float)sum;
                if (o->res != NULL) v += o->res[y * o->res_pitch + column * EK_LANES + l];
                v = v < d->lo ? d->lo : v;
                o->out[y * o->pitch + column * EK_LANES + l] = v > d->hi ? d->hi : v;
            }
}

static void scatter(const ek_nn_step *s, const ek_nn_call *c, size_t t0, size_t t1, size_t panel,
                    size_t stride, const float *m, unsigned char *bad) {
    const wino_data *d = s->data;
    const ek_nn_buf *out = s->buf[1], *res = s->nbufs > 2 ? s->buf[2] : NULL;
    const size_t wide = 2 * s->isa->width;
    stripe r = {0};
    while (next_stripe(d, t0, t1, &r))
        for (size_t j = 0; j < wide && panel * wide + j < d->cout; j += EK_LANES) {
            const size_t block = (panel * wide + j) / EK_LANES, y = 2 * r.y, x = 2 * r.x;
            ek_wino_out o = {.m = m + r.first * wide + j,
                             .point = stride * wide,
                             .tile = wide,
                             .n = r.n,
                             .bias = d->values + d->bias + panel * wide + j,
                             .lo = d->lo,
                             .hi = d->hi,
                             .pitch = out->pitch,
                             .rows = out->h - y < 2 ? 1 : 2,
                             .columns = out->w - x};
            o.out = ek_nn_at(c, out) + r.item * out->item + block * out->plane + out->origin +
                    y * out->pitch + x * EK_LANES;
            if (res != NULL) {
                o.res = ek_nn_at(c, res) + r.item * res->item + block * res->plane + res->origin +
                        y * res->pitch + x * EK_LANES;
                o.res_pitch = res->pitch;
            }
            o.bad = bad;
            memset(bad, 0, r.n);
            s->isa->wino_out(&o);
            for (size_t t = 0; t < r.n; t++)
                if (bad[t]) mend(s, c, &r, t, panel, j, &o);
            if (d->act == EK_ACT_NONE) continue;
            const size_t n = o.columns < 2 * r.n ? o.columns : 2 * r.n;
            for (size_t i = 0; i < o.rows; i++)
                s->isa->act(d->act, d->param, o.out + i * out->pitch, n * EK_LANES);
        }
}

static ek_status wino_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const wino_data *d = s->data;
    const wino_grid g = wino_chunks(s, c);
    const size_t wide = 2 * s->isa->width, stretches = ek_nn_ceil(d->blocks * EK_LANES, K_STRETCH);
    float *v = ek_arena_f32(tmp, POINTS * d->blocks * g.chunk * EK_LANES),
          *m = ek_arena_f32(tmp, POINTS * g.chunk * wide);
    const float **a = ek_arena_alloc(tmp, g.chunk, sizeof *a);
    ek_run *run = ek_arena_alloc(tmp, d->blocks, sizeof *run);
    unsigned char *bad = ek_arena_alloc(tmp, d->tiles_x, 1);
    if (v == NULL || m == NULL || a == NULL || run == NULL || bad == NULL) return EK_ENOMEM;
    for (size_t t = 0; t < g.chunk; t++) a[t] = v + t * EK_LANES;
    for (size_t b = 0; b < d->blocks; b++) {
        const size_t left = d->cin - b * EK_LANES;
        run[b] =
            (ek_run){(int32_t)(b * g.chunk * EK_LANES), left < EK_LANES ? (int32_t)left : EK_LANES};
    }
    for (size_t u = begin; u < end; u++) {
        if (u == g.chunks) {
            ek_nn_zero_border(s->buf[1], ek_nn_at(c, s->buf[1]), 0, c->n * s->buf[1]->items);
            break;
        }
        const size_t t0 = u * g.chunk, t1 = g.total - t0 < g.chunk ? g.total : t0 + g.chunk;
        if (t0 >= g.total) continue;
        const size_t len = t1 - t0, tiles = ek_nn_ceil(len, s->isa->rows);
        gather(s, c, t0, t1, g.chunk, v);
        for (size_t q = 0; q < d->panels; q++) {
            ek_tile t = {.bias = d->values, .columns = wide};
            for (size_t p = 0; p < POINTS; p++)
                for (size_t k = 0; k < stretches; k++) {
                    const size_t first = k * (K_STRETCH / EK_LANES), left = d->blocks - first;
                    t.b =
                        d->values + d->weight + ((q * POINTS + p) * d->cin + k * K_STRETCH) * wide;
                    t.a_off = (ptrdiff_t)(p * d->blocks * g.chunk * EK_LANES);
                    t.run = run + first;
                    t.runs = left < K_STRETCH / EK_LANES ? left : K_STRETCH / EK_LANES;
                    for (size_t i = 0; i < tiles; i++) {
                        const size_t r0 = len * i / tiles, r1 = len * (i + 1) / tiles;
                        t.to = m + (p * g.chunk + r0) * wide;
                        t.from = k == 0 ? NULL : t.to;
                        t.a = a + r0;
                        t.rows = r1 - r0;
                        s->isa->tile(&t);
                    }
                }
            scatter(s, c, t0, t1, q, g.chunk, m, bad);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_winograd = {"winograd", wino_init, wino_units, wino_run};
