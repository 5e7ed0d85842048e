/* Convolutions of stride 1 by Winograd: F(2x2, 3x3) has 16 products for 4 outputs of 9 taps; along
 * a row F(4, 3) has 6 for 4 outputs of 3 taps and F(2, 5) 6 for 2 of 5. Errors against float64
 * (tests/test_nn_networks.py): as the direct sum's for the first, whose sums are shorter; less than
 * twice as large for the other two. A longer kernel is F(4, 3) in sections: three taps each, read
 * three positions further on, and summed before the way back, as if they were more channels.
 *   winograd  bufs in, out, [res]   ints form top left act   reals act parameter   arrays weight
 *             (cout, cin, 3, 3), (cout, cin, 5) or (cout, cin, 3 x sections), bias (cout); all
 *             blocked, cin % 16 == 0 with sections; the input's border reaches the last whole tile
 *             form 0: F(2x2, 3x3), 1: F(2, 5), 2: F(4, 3)
 * A unit is a chunk of tiles: their input patches are transformed into (points, blocks, tiles, 16),
 * multiplied by the transformed weights panel by panel, and the results transformed back while they
 * are in the cache. */
#include "nn_step.h"
#include <math.h>
#include <string.h>

enum { PATCH_BYTES = 512 << 10, LINE_BYTES = 256 << 10, MAX_POINTS = 16, MAX_SECTIONS = 64 };

/* What a tile is: its products, its outputs, its kernel's rows and the taps of each. */
typedef struct {
    size_t points, rows, columns, kernel_rows, taps;
} wino_form;

static const wino_form FORMS[] = {
    {16, 2, 2, 3, 3},
    {6,  1, 2, 1, 5},
    {6,  1, 4, 1, 3},
};
enum { SQUARE, FIVE, THREE };

typedef struct {
    wino_form form;
    size_t kind, cin, cout, blocks, panels, tiles_y, tiles_x, chunk, top, left;
    size_t sections, depth; /* depth: channels of a product, those of all sections */
    float lo, hi, param;
    ek_act act;
    size_t bias, weight; /* where they start in values */
    float values[]; /* 32 zeros, bias per panel, weights (panel, point, depth, width of panel) */
} wino_data;

/* The line forms evaluate at 0, +-A, +-B and infinity (nn_kern.h); FA and FB are the products of
 * the differences of +-A and +-B from the other points. */
static const double A = EK_WINO_A, B = EK_WINO_B;
static const double A2 = EK_WINO_A * EK_WINO_A, B2 = EK_WINO_B * EK_WINO_B;
#define FA (2 * A2 * (A2 - B2))
#define FB (2 * B2 * (B2 - A2))

/* F(2, 3) of three taps, `step` apart: the square form's rows and columns. */
static void transform_three(const double *g, size_t step, double *u) {
    const double a = g[0], b = g[step], c = g[2 * step];
    u[0] = a;
    u[1] = 0.5 * (a + b + c);
    u[2] = 0.5 * (a - b + c);
    u[3] = c;
}

static void transform_weight(size_t kind, const float *weight, double *u) {
    double g[9];
    const size_t taps = FORMS[kind].taps;
    for (size_t i = 0; i < taps * FORMS[kind].kernel_rows; i++) g[i] = (double)weight[i];
    if (kind == SQUARE) {
        double half[12]; /* G g G^T, columns first */
        for (size_t j = 0; j < 3; j++) transform_three(g + j, 3, half + 4 * j);
        for (size_t i = 0; i < 4; i++) transform_three(half + i, 4, u + 4 * i);
        return;
    }
    const double at[] = {0, A, -A, B, -B}, over[] = {A2 * B2, FA, FA, FB, FB};
    for (size_t p = 0; p < 5; p++) {
        u[p] = 0;
        for (size_t i = taps; i-- > 0;) u[p] = u[p] * at[p] + g[i];
        u[p] /= over[p];
    }
    u[5] = g[taps - 1];
}

/* Taps from their points, `step` apart, to the last digit or so. */
static void taps_of(size_t kind, const float *u, size_t step, double *g) {
    double p[MAX_POINTS];
    for (size_t i = 0; i < FORMS[kind].points; i++) p[i] = (double)u[i * step];
    if (kind == SQUARE) {
        for (size_t i = 0; i < 3; i++) {
            const double *row = p + (i == 2 ? 12 : 4 * i), *next = i == 1 ? row + 4 : NULL;
            double q[4];
            for (size_t j = 0; j < 4; j++) q[j] = next ? row[j] - next[j] : row[j];
            g[3 * i] = q[0];
            g[3 * i + 1] = q[1] - q[2];
            g[3 * i + 2] = q[3];
        }
        return;
    }
    const double odd_a = (p[1] - p[2]) * FA / (2 * A), odd_b = (p[3] - p[4]) * FB / (2 * B);
    g[0] = p[0] * A2 * B2;
    if (kind == THREE) {
        g[1] = odd_a;
        g[2] = p[5];
        return;
    }
    g[4] = p[5];
    g[3] = (odd_b - odd_a) / (B2 - A2);
    g[1] = odd_a - A2 * g[3];
    g[2] = ((p[1] + p[2]) * FA / 2 - g[0] - A2 * A2 * g[4]) / A2;
}

static ek_status wino_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 2 || a->nints != 4 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1], *res = a->nbufs > 2 ? s->buf[2] : NULL;
    if (in == NULL || out == NULL || in->lanes != EK_LANES || out->lanes != EK_LANES ||
        in->items != out->items)
        return EK_EVALUE;
    if (a->ints[0] < SQUARE || a->ints[0] > THREE || a->ints[1] < 0 || a->ints[2] < 0 ||
        a->ints[3] < 0 || a->ints[3] >= EK_ACT_COUNT || out->h == 0 || out->w == 0)
        return EK_EVALUE;
    if (res != NULL && (res->lanes != EK_LANES || res->c != out->c || res->h != out->h ||
                        res->w != out->w || res->items != out->items))
        return EK_EVALUE;
    const size_t kind = (size_t)a->ints[0];
    const wino_form f = FORMS[kind];
    const size_t width = s->isa->width, wide = 2 * width, cin = in->c, cout = out->c;
    const size_t panels = ek_nn_ceil(cout, wide), top = (size_t)a->ints[1],
                 left = (size_t)a->ints[2];
    const size_t tiles_y = ek_nn_ceil(out->h, f.rows), tiles_x = ek_nn_ceil(out->w, f.columns);
    size_t weights, floats;
    const size_t taps = f.taps * f.kernel_rows;
    if (__builtin_mul_overflow(cin, cout, &weights) || weights == 0 || a->lengths[1] != cout)
        return EK_EVALUE;
    const size_t sections = a->lengths[0] / weights / taps, depth = sections * cin;
    if (a->lengths[0] % weights || a->lengths[0] != taps * sections * weights ||
        sections > (kind == THREE ? MAX_SECTIONS : 1) || (sections > 1 && cin % EK_LANES))
        return EK_EVALUE;
    if (sections == 0 || top > in->top || left > in->left ||
        f.rows * tiles_y + f.kernel_rows - 1 > top + in->h + in->bottom ||
        f.columns * tiles_x + f.taps * sections - 1 > left + in->w + in->right)
        return EK_EVALUE;
    if (__builtin_mul_overflow(depth * f.points, panels * wide, &floats)) return EK_EVALUE;
    const size_t before = wide + panels * wide;
    s->data_bytes = sizeof(wino_data) + (before + floats) * sizeof(float);
    wino_data *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    memset(d, 0, s->data_bytes);
    *d = (wino_data){.form = f,
                     .kind = kind,
                     .cin = cin,
                     .cout = cout,
                     .blocks = in->blocks,
                     .panels = panels,
                     .tiles_y = tiles_y,
                     .tiles_x = tiles_x,
                     .top = top,
                     .left = left,
                     .sections = sections,
                     .depth = depth,
                     .bias = wide,
                     .weight = before};
    d->chunk = (kind == SQUARE ? PATCH_BYTES : LINE_BYTES) / sizeof(float) /
               (f.points * sections * in->blocks * EK_LANES);
    if (d->chunk < s->isa->rows) d->chunk = s->isa->rows;
    const int64_t act = a->ints[3];
    d->lo = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? 0.0f : -INFINITY;
    d->hi = act == EK_ACT_RELU6 ? 6.0f : INFINITY;
    d->act = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? EK_ACT_NONE : (ek_act)act;
    d->param = (float)a->reals[0];
    for (size_t j = 0; j < cout; j++) d->values[d->bias + j] = a->arrays[1][j];
    for (size_t j = 0; j < cout; j++)
        for (size_t k = 0; k < depth; k++) {
            const size_t c = k % cin, section = k / cin;
            double u[MAX_POINTS];
            transform_weight(kind, a->arrays[0] + ((j * cin + c) * sections + section) * taps, u);
            float *w = d->values + d->weight + (j / wide * f.points * depth + k) * wide + j % wide;
            for (size_t p = 0; p < f.points; p++) w[p * depth * wide] = (float)u[p];
        }
    return EK_OK;
}

/* Terms of a product that are summed in one chain. Chains of 16 keep the line forms within twice
 * the error of PyTorch's direct sum; with many channels its own chains are long. */
static size_t stretch(const wino_data *d) {
    return d->kind == SQUARE ? 64 : d->depth < 512 ? 16 : 32;
}

/* Units are chunks of tiles; where those are too few for the threads, times groups of panels, each
 * of which transforms the input again. */
typedef struct {
    size_t total, chunk, chunks, panel_groups;
} wino_grid;

static wino_grid wino_chunks(const ek_nn_step *s, const ek_nn_call *c) {
    const wino_data *d = s->data;
    wino_grid g = {.total = c->n * s->buf[1]->items * d->tiles_y * d->tiles_x,
                   .chunk = d->chunk,
                   .panel_groups = 1};
    if (c->threads > 1) {
        const size_t share = ek_nn_ceil(g.total, 2 * c->threads);
        if (share < g.chunk) g.chunk = share;
    }
    if (g.chunk < s->isa->rows) g.chunk = s->isa->rows;
    g.chunks = ek_nn_ceil(g.total, g.chunk);
    g.chunk = ek_nn_ceil(g.total, g.chunks);
    if (c->threads > 1 && g.chunks < 2 * c->threads) {
        g.panel_groups = ek_nn_ceil(2 * c->threads, g.chunks);
        if (g.panel_groups > d->panels) g.panel_groups = d->panels;
    }
    return g;
}

static size_t wino_units(const ek_nn_step *s, const ek_nn_call *c) {
    const wino_grid g = wino_chunks(s, c);
    return g.chunks * g.panel_groups + (size_t)ek_nn_has_border(s->buf[1]);
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

/* The first input of tile t of a stripe, in the first block. */
static const float *patch(const ek_nn_step *s, const ek_nn_call *c, const stripe *r, size_t t) {
    const wino_data *d = s->data;
    const ek_nn_buf *in = s->buf[0];
    return ek_nn_at(c, in) + r->item * in->item +
           (in->top - d->top + d->form.rows * r->y) * in->pitch +
           (in->left - d->left + d->form.columns * (r->x + t)) * EK_LANES;
}

static void gather(const ek_nn_step *s, const ek_nn_call *c, size_t t0, size_t t1, size_t stride,
                   float *v) {
    const wino_data *d = s->data;
    const ek_nn_buf *in = s->buf[0];
    stripe r = {0};
    while (next_stripe(d, t0, t1, &r)) {
        const float *x = patch(s, c, &r, 0);
        const size_t blocks = d->sections * d->blocks, point = blocks * stride * EK_LANES;
        for (size_t b = 0; b < blocks; b++) {
            const size_t section = b / d->blocks;
            const float *from = x + b % d->blocks * in->plane + section * d->form.taps * EK_LANES;
            float *to = v + (b * stride + r.first) * EK_LANES;
            if (d->kind == SQUARE)
                s->isa->wino_in(from, in->pitch, r.n, to, point);
            else
                s->isa->wino_line_in(d->form.columns, from, r.n, to, point);
        }
    }
}

/* The flagged tiles of a stripe again, directly, in one block of output channels: `j` is its first
 * column in the panel. The taps of a channel are recovered once for all tiles. */
static ek_status mend(const ek_nn_step *s, const ek_nn_call *c, const stripe *r, size_t panel,
                      size_t j, const ek_wino_out *o, ek_arena *tmp) {
    const wino_data *d = s->data;
    const ek_nn_buf *in = s->buf[0];
    const size_t wide = 2 * s->isa->width, all = d->form.taps * d->form.kernel_rows;
    const size_t tile = d->form.columns, taps = d->form.taps, outputs = d->form.rows * tile;
    const size_t mark = ek_arena_mark(tmp);
    double *sums = ek_arena_f64(tmp, r->n * outputs * EK_LANES);
    if (sums == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < r->n * outputs * EK_LANES; i++) sums[i] = (double)o->bias[i % EK_LANES];
    for (size_t row = 0; row < d->depth; row++) {
        const size_t ch = row % d->cin, section = row / d->cin;
        const float *u =
            d->values + d->weight + (panel * d->form.points * d->depth + row) * wide + j;
        double g[9][EK_LANES], lane[9];
        for (size_t l = 0; l < EK_LANES; l++) {
            taps_of(d->kind, u + l, d->depth * wide, lane);
            for (size_t i = 0; i < all; i++) g[i][l] = lane[i];
        }
        for (size_t t = 0; t < r->n; t++) {
            if (!o->bad[t]) continue;
            const float *x = patch(s, c, r, t) + ch / EK_LANES * in->plane + ch % EK_LANES +
                             section * taps * EK_LANES;
            for (size_t k = 0; k < outputs; k++) {
                const float *p = x + k / tile * in->pitch + k % tile * EK_LANES;
                double *sum = sums + (t * outputs + k) * EK_LANES;
                for (size_t i = 0; i < all; i++) {
                    const double v = (double)p[i / taps * in->pitch + i % taps * EK_LANES];
                    for (size_t l = 0; l < EK_LANES; l++) sum[l] += g[i][l] * v;
                }
            }
        }
    }
    for (size_t t = 0; t < r->n; t++)
        for (size_t k = 0; o->bad[t] && k < outputs; k++) {
            const size_t y = k / tile, column = tile * t + k % tile;
            if (y >= o->rows || column >= o->columns) continue;
            for (size_t l = 0; l < EK_LANES; l++) {
                float v = (float)sums[(t * outputs + k) * EK_LANES + l];
                if (o->res != NULL) v += o->res[y * o->res_pitch + column * EK_LANES + l];
                v = v < d->lo ? d->lo : v;
                o->out[y * o->pitch + column * EK_LANES + l] = v > d->hi ? d->hi : v;
            }
        }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status scatter(const ek_nn_step *s, const ek_nn_call *c, size_t t0, size_t t1,
                         size_t panel, size_t stride, const float *m, unsigned char *bad,
                         ek_arena *tmp) {
    const wino_data *d = s->data;
    const ek_nn_buf *out = s->buf[1], *res = s->nbufs > 2 ? s->buf[2] : NULL;
    const size_t wide = 2 * s->isa->width;
    stripe r = {0};
    while (next_stripe(d, t0, t1, &r))
        for (size_t j = 0; j < wide && panel * wide + j < d->cout; j += EK_LANES) {
            const size_t block = (panel * wide + j) / EK_LANES;
            const size_t tile = d->form.columns, y = d->form.rows * r.y, x = tile * r.x;
            ek_wino_out o = {.m = m + r.first * wide + j,
                             .point = stride * wide,
                             .tile = wide,
                             .n = r.n,
                             .bias = d->values + d->bias + panel * wide + j,
                             .lo = d->lo,
                             .hi = d->hi,
                             .pitch = out->pitch,
                             .rows = out->h - y < d->form.rows ? 1 : d->form.rows,
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
            if (d->kind == SQUARE)
                s->isa->wino_out(&o);
            else
                s->isa->wino_line_out(tile, &o);
            if (memchr(bad, 1, r.n) != NULL) {
                const ek_status st = mend(s, c, &r, panel, j, &o, tmp);
                if (st != EK_OK) return st;
            }
            if (d->act == EK_ACT_NONE) continue;
            const size_t n = o.columns < tile * r.n ? o.columns : tile * r.n;
            for (size_t i = 0; i < o.rows; i++)
                s->isa->act(d->act, d->param, o.out + i * out->pitch, n * EK_LANES);
        }
    return EK_OK;
}

static ek_status wino_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const wino_data *d = s->data;
    const wino_grid g = wino_chunks(s, c);
    const size_t points = d->form.points;
    const size_t length = stretch(d), blocks = length / EK_LANES;
    const size_t wide = 2 * s->isa->width, all = d->sections * d->blocks;
    const size_t stretches = ek_nn_ceil(all, blocks);
    float *v = ek_arena_f32(tmp, points * all * g.chunk * EK_LANES),
          *m = ek_arena_f32(tmp, points * g.chunk * wide);
    const float **a = ek_arena_alloc(tmp, g.chunk, sizeof *a);
    ek_run *run = ek_arena_alloc(tmp, all, sizeof *run);
    unsigned char *bad = ek_arena_alloc(tmp, d->tiles_x, 1);
    if (v == NULL || m == NULL || a == NULL || run == NULL || bad == NULL) return EK_ENOMEM;
    for (size_t t = 0; t < g.chunk; t++) a[t] = v + t * EK_LANES;
    for (size_t b = 0; b < all; b++) {
        const size_t left = d->cin - b % d->blocks * EK_LANES;
        run[b] =
            (ek_run){(int32_t)(b * g.chunk * EK_LANES), left < EK_LANES ? (int32_t)left : EK_LANES};
    }
    size_t ready = SIZE_MAX; /* the chunk that is transformed */
    for (size_t u = begin; u < end; u++) {
        if (u == g.chunks * g.panel_groups) {
            ek_nn_zero_border(s->buf[1], ek_nn_at(c, s->buf[1]), 0, c->n * s->buf[1]->items);
            break;
        }
        const size_t chunk = u / g.panel_groups, part = u % g.panel_groups;
        const size_t t0 = chunk * g.chunk, t1 = g.total - t0 < g.chunk ? g.total : t0 + g.chunk;
        if (t0 >= g.total) continue;
        const size_t len = t1 - t0, tiles = ek_nn_ceil(len, s->isa->rows);
        if (chunk != ready) gather(s, c, t0, t1, g.chunk, v);
        ready = chunk;
        const size_t q1 = d->panels * (part + 1) / g.panel_groups;
        for (size_t q = d->panels * part / g.panel_groups; q < q1; q++) {
            ek_tile t = {.bias = d->values, .columns = wide};
            for (size_t p = 0; p < points; p++)
                for (size_t k = 0; k < stretches; k++) {
                    const size_t first = k * blocks, left = all - first;
                    t.b = d->values + d->weight + ((q * points + p) * d->depth + k * length) * wide;
                    t.a_off = (ptrdiff_t)(p * all * g.chunk * EK_LANES);
                    t.run = run + first;
                    t.runs = left < blocks ? left : blocks;
                    for (size_t i = 0; i < tiles; i++) {
                        const size_t r0 = len * i / tiles, r1 = len * (i + 1) / tiles;
                        t.to = m + (p * g.chunk + r0) * wide;
                        t.from = k == 0 ? NULL : t.to;
                        t.a = a + r0;
                        t.rows = r1 - r0;
                        s->isa->tile(&t);
                    }
                }
            const ek_status st = scatter(s, c, t0, t1, q, g.chunk, m, bad, tmp);
            if (st != EK_OK) return st;
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_winograd = {"winograd", wino_init, wino_units, wino_run};
