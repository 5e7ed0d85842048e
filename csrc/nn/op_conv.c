/* Convolution (1-D as height 1) and linear layers as one product without a materialised im2col: the
 * rows of A are the output positions, read straight from the bordered input through a list of
 * contiguous runs; B is the packed weights. conv    bufs in, out, [res]   ints kh kw sh sw dh dw
 * top left groups act   reals act parameter arrays weight (cout, cin/groups, kh, kw), bias (cout)
 *           in: plain, or blocked if cin/groups % 16 == 0 or groups == 1; out, res: blocked,
 * cout/groups % 16 == 0 or groups == 1 linear  bufs in, out, [res]   ints rows per sample, act
 * reals act parameter arrays weight (columns, k), bias (columns); all plain */
#include "nn_step.h"
#include <math.h>
#include <string.h>

typedef struct {
    size_t b, columns;               /* offset of the packed weights, columns to write */
    ptrdiff_t a_off, c_off, res_off; /* where the panel's group and columns start */
    size_t bias;
} panel;

typedef struct {
    size_t run, runs, k, rows; /* the first run, their count, rows of B before them and of them */
} stretch;

typedef struct {
    ptrdiff_t item, y, x; /* floats between items, rows and positions */
    ptrdiff_t origin;
} walk;

typedef struct {
    size_t oh, ow, items; /* output positions of an item, items per sample */
    walk in, out, res;
    size_t panels, runs, k, weight_floats, chunk_floats, chunk_bytes, long_positions;
    ptrdiff_t c_step, res_step;
    float lo, hi, param;
    int fold;   /* every run is a sum of its own */
    ek_act act; /* what the clamp cannot do */
    const panel *panel;
    const ek_run *run;
    const stretch *stretch; /* the inner dimension in pieces */
    size_t stretches;
    const float *weight, *bias;
} conv_data;

/* A stretch of K_STRETCH rows of one panel stays in the first cache while all tiles of a chunk use
 * it. A linear layer's chunk of rows stays in the second. */
enum {
    CHUNK_BYTES = 192 << 10,
    MAX_POSITIONS = 4096,
    LONG_POSITIONS = 192,
    K_STRETCH = 144,
    LINEAR_BYTES = 640 << 10,
    LINEAR_POSITIONS = 256,
    LINEAR_STRETCH = 384, /* from the second cache: fewer partial sums in memory */
    LINEAR_RUN = 192,     /* a sum of its own within a stretch */
};

static size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* One block for everything: the struct, its tables, its weights. */
static conv_data *conv_new(ek_nn_step *s, size_t panels, size_t runs, size_t weights, size_t bias) {
    size_t floats;
    if (__builtin_add_overflow(weights, bias, &floats) || floats > ((size_t)1 << 40)) return NULL;
    const size_t at_panel = aligned(sizeof(conv_data)),
                 at_run = at_panel + aligned(panels * sizeof(panel));
    const size_t at_stretch = at_run + aligned(runs * sizeof(ek_run)),
                 at_bias = at_stretch + aligned(runs * sizeof(stretch)),
                 at_weight = at_bias + aligned(4 * bias);
    s->data_bytes = at_weight + aligned(4 * weights);
    char *p = s->data = ek_aligned_alloc(s->data_bytes);
    if (p == NULL) return NULL;
    memset(p, 0, at_weight);
    conv_data *d = (conv_data *)p;
    d->panel = (panel *)(p + at_panel);
    d->run = (ek_run *)(p + at_run);
    d->stretch = (stretch *)(p + at_stretch);
    d->bias = (float *)(p + at_bias);
    d->weight = (float *)(p + at_weight);
    d->panels = panels;
    d->runs = runs;
    return d;
}

static int set_act(conv_data *d, int64_t act, double param) {
    if (act < 0 || act >= EK_ACT_COUNT) return 0;
    d->lo = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? 0.0f : -INFINITY;
    d->hi = act == EK_ACT_RELU6 ? 6.0f : INFINITY;
    d->act = act == EK_ACT_RELU || act == EK_ACT_RELU6 ? EK_ACT_NONE : (ek_act)act;
    d->param = (float)param;
    return 1;
}

/* Cut the runs into stretches of at most `most` rows of B. */
static void cut(conv_data *d, size_t most) {
    stretch *out = (stretch *)d->stretch;
    size_t k = 0, length = 0;
    for (size_t i = 0; i < d->runs; i++) {
        const size_t n = (size_t)d->run[i].length;
        if (i == 0 || length + n > most) {
            out[d->stretches++] = (stretch){i, 0, k, 0};
            length = 0;
        }
        out[d->stretches - 1].runs++;
        out[d->stretches - 1].rows += n;
        length += n;
        k += n;
    }
}

/* Columns of panel `i` of a group of `cout` channels, and the vectors they fill. */
static size_t panel_columns(size_t cout, size_t i, size_t width, size_t *vectors) {
    const size_t left = cout - i * 2 * width, columns = left < 2 * width ? left : 2 * width;
    *vectors = ek_nn_ceil(columns, width);
    return columns;
}

static size_t packed_columns(size_t cout, size_t width) {
    return ek_nn_ceil(cout, width) * width;
}

static ek_status conv_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 2 || a->nints != 10 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1], *res = a->nbufs > 2 ? s->buf[2] : NULL;
    if (in == NULL || out == NULL) return EK_EVALUE;
    for (size_t i = 0; i < 9; i++)
        if (a->ints[i] < (i == 6 || i == 7 ? 0 : 1) || a->ints[i] > INT32_MAX) return EK_EVALUE;
    const size_t kh = (size_t)a->ints[0], kw = (size_t)a->ints[1], sh = (size_t)a->ints[2],
                 sw = (size_t)a->ints[3];
    const size_t dh = (size_t)a->ints[4], dw = (size_t)a->ints[5], top = (size_t)a->ints[6],
                 left = (size_t)a->ints[7];
    const size_t groups = (size_t)a->ints[8], width = s->isa->width;
    if (in->c % groups || out->c % groups || out->lanes != EK_LANES || in->items != out->items)
        return EK_EVALUE;
    if (res != NULL && (res->lanes != EK_LANES || res->c != out->c || res->h != out->h ||
                        res->w != out->w || res->items != out->items))
        return EK_EVALUE;
    const size_t cin = in->c / groups, cout = out->c / groups;
    if (groups > 1 && (cout % EK_LANES || (in->lanes != 1 && cin % EK_LANES))) return EK_EVALUE;
    /* the last tap of the last output must lie inside the bordered input */
    if (top > in->top || left > in->left || out->h == 0 || out->w == 0 ||
        (out->h - 1) * sh + (kh - 1) * dh >= top + in->h + in->bottom ||
        (out->w - 1) * sw + (kw - 1) * dw >= left + in->w + in->right)
        return EK_EVALUE;
    size_t taps, k, weights;
    if (__builtin_mul_overflow(kh, kw, &taps) || __builtin_mul_overflow(taps, cin, &k) ||
        __builtin_mul_overflow(k, out->c, &weights) || a->lengths[0] != weights ||
        a->lengths[1] != out->c)
        return EK_EVALUE;

    const size_t in_blocks = in->lanes == 1 ? cin : ek_nn_ceil(cin, EK_LANES);
    const size_t long_runs = in->lanes == 1 && dw == 1; /* the taps of a row are one run */
    const size_t runs = in_blocks * kh * (long_runs ? 1 : kw);
    const size_t per_group = ek_nn_ceil(cout, 2 * width), columns = packed_columns(cout, width);
    conv_data *d = conv_new(s, per_group * groups, runs, k * columns * groups, columns * groups);
    if (d == NULL) return EK_ENOMEM;
    if (!set_act(d, a->ints[9], a->reals[0])) return EK_EVALUE;
    d->oh = out->h, d->ow = out->w, d->items = out->items, d->k = k;
    d->weight_floats = k * columns * groups;
    d->chunk_floats = in->c * sh * sw;
    d->chunk_bytes = CHUNK_BYTES, d->long_positions = LONG_POSITIONS;
    const ptrdiff_t pitch = (ptrdiff_t)in->pitch, lanes = (ptrdiff_t)in->lanes;
    d->in = (walk){(ptrdiff_t)in->item, (ptrdiff_t)sh * pitch, (ptrdiff_t)sw * lanes,
                   (ptrdiff_t)(in->top - top) * pitch + (ptrdiff_t)(in->left - left) * lanes};
    d->out = (walk){(ptrdiff_t)out->item, (ptrdiff_t)out->pitch, EK_LANES, (ptrdiff_t)out->origin};
    d->c_step = width == EK_LANES ? (ptrdiff_t)out->plane : (ptrdiff_t)width;
    if (res != NULL) {
        d->res =
            (walk){(ptrdiff_t)res->item, (ptrdiff_t)res->pitch, EK_LANES, (ptrdiff_t)res->origin};
        d->res_step = width == EK_LANES ? (ptrdiff_t)res->plane : (ptrdiff_t)width;
    }

    ek_run *run = (ek_run *)d->run;
    for (size_t c = 0; c < in_blocks; c++)
        for (size_t y = 0; y < kh; y++)
            for (size_t x = 0; x < (long_runs ? 1 : kw); x++, run++) {
                const size_t channels =
                    cin - c * in->lanes < in->lanes ? cin - c * in->lanes : in->lanes;
                run->offset = (int32_t)(c * in->plane + y * dh * in->pitch + x * dw * in->lanes);
                run->length = (int32_t)(long_runs ? kw : channels);
            }

    cut(d, K_STRETCH);
    float *w = (float *)d->weight, *bias = (float *)d->bias;
    panel *p = (panel *)d->panel;
    size_t vectors, at = 0, at_bias = 0;
    for (size_t g = 0; g < groups; g++)
        for (size_t i = 0; i < per_group; i++, p++) {
            const size_t first = g * cout + i * 2 * width,
                         cols = panel_columns(cout, i, width, &vectors);
            const size_t wide = vectors * width;
            *p = (panel){at,
                         wide,
                         (ptrdiff_t)(g * (in->lanes == 1 ? cin : cin / EK_LANES) * in->plane),
                         (ptrdiff_t)(first / EK_LANES * out->plane + first % EK_LANES),
                         res ? (ptrdiff_t)(first / EK_LANES * res->plane + first % EK_LANES) : 0,
                         at_bias};
            for (size_t j = 0; j < cols; j++) bias[at_bias + j] = a->arrays[1][first + j];
            float *row = w + at;
            for (size_t c = 0; c < in_blocks; c++) {
                const size_t channels =
                    cin - c * in->lanes < in->lanes ? cin - c * in->lanes : in->lanes;
                for (size_t tap = 0; tap < taps; tap++)
                    for (size_t l = 0; l < channels; l++, row += wide)
                        for (size_t j = 0; j < wide; j++)
                            row[j] =
                                j < cols
                                    ? a->arrays[0][((first + j) * cin + c * in->lanes + l) * taps +
                                                   tap]
                                    : 0.0f;
            }
            at += k * wide;
            at_bias += wide;
        }
    return EK_OK;
}

static ek_status linear_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 2 || a->nints != 2 || a->nreals != 1 || a->narrays != 2) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1], *res = a->nbufs > 2 ? s->buf[2] : NULL;
    if (in == NULL || out == NULL || a->ints[0] < 1 || a->ints[0] > INT32_MAX) return EK_EVALUE;
    const size_t rows = (size_t)a->ints[0], n = a->lengths[1], width = s->isa->width;
    if (n == 0 || a->lengths[0] % n || in->lanes != 1 || out->lanes != 1 || ek_nn_has_border(in) ||
        ek_nn_has_border(out))
        return EK_EVALUE;
    const size_t k = a->lengths[0] / n;
    if (k == 0 || k > INT32_MAX || in->size != rows * k || out->size != rows * n) return EK_EVALUE;
    if (res != NULL && (res->lanes != 1 || ek_nn_has_border(res) || res->size != out->size))
        return EK_EVALUE;
    const size_t columns = packed_columns(n, width), runs = ek_nn_ceil(k, LINEAR_RUN),
                 piece = ek_nn_ceil(k, runs);
    conv_data *d = conv_new(s, ek_nn_ceil(n, 2 * width), runs, k * columns, columns);
    if (d == NULL) return EK_ENOMEM;
    if (!set_act(d, a->ints[1], a->reals[0])) return EK_EVALUE;
    d->oh = d->ow = 1, d->items = rows, d->k = k;
    d->weight_floats = k * columns;
    d->chunk_floats = k;
    d->chunk_bytes = LINEAR_BYTES, d->long_positions = LINEAR_POSITIONS;
    d->in = (walk){(ptrdiff_t)k, 0, 0, 0};
    d->out = d->res = (walk){(ptrdiff_t)n, 0, 0, 0};
    d->c_step = d->res_step = (ptrdiff_t)width;
    for (size_t i = 0, at = 0; i < d->runs; i++, at += piece)
        ((ek_run *)d->run)[i] = (ek_run){(int32_t)at, (int32_t)(k - at < piece ? k - at : piece)};
    cut(d, LINEAR_STRETCH);
    d->fold = 1;
    float *w = (float *)d->weight, *bias = (float *)d->bias;
    size_t vectors, at = 0;
    for (size_t i = 0; i < d->panels; i++) {
        const size_t first = i * 2 * width, cols = panel_columns(n, i, width, &vectors),
                     wide = vectors * width;
        ((panel *)d->panel)[i] = (panel){at, cols, 0, (ptrdiff_t)first, (ptrdiff_t)first, first};
        for (size_t j = 0; j < cols; j++) bias[first + j] = a->arrays[1][first + j];
        for (size_t r = 0; r < k; r++)
            for (size_t j = 0; j < wide; j++)
                w[at + r * wide + j] = j < cols ? a->arrays[0][(first + j) * k + r] : 0.0f;
        at += k * wide;
    }
    return EK_OK;
}

/* ---- running: units are chunks of positions x groups of panels ---- */

typedef struct {
    size_t total, chunk, chunks, panel_groups, border;
    int late;
} grid;

static grid conv_grid(const ek_nn_step *s, const ek_nn_call *c) {
    const conv_data *d = s->data;
    const size_t rows = s->isa->rows;
    grid g = {.total = c->n * d->items * d->oh * d->ow, .panel_groups = 1};
    size_t chunk = d->chunk_bytes / sizeof(float) / d->chunk_floats;
    /* Threads share positions early, where pictures are large, and output channels late, where
     * weights are. */
    const int late = d->weight_floats > g.total * d->chunk_floats;
    if (c->threads > 1 && !late) {
        const size_t share = ek_nn_ceil(g.total, 4 * c->threads);
        if (share < chunk) chunk = share;
    }
    const size_t most = d->stretches > 1 ? d->long_positions : MAX_POSITIONS;
    if (chunk > most) chunk = most;
    if (chunk < rows) chunk = rows;
    chunk = ek_nn_ceil(chunk, rows) * rows;
    g.chunks = ek_nn_ceil(g.total, chunk);
    g.chunk = ek_nn_ceil(g.total, g.chunks);
    if (c->threads > 1 && (late || g.chunks < 4 * c->threads)) {
        g.panel_groups = late ? 4 * c->threads : ek_nn_ceil(4 * c->threads, g.chunks);
        if (g.panel_groups > d->panels) g.panel_groups = d->panels;
    }
    g.border = ek_nn_has_border(s->buf[1]);
    g.late = late;
    return g;
}

static size_t conv_units(const ek_nn_step *s, const ek_nn_call *c) {
    const grid g = conv_grid(s, c);
    return g.chunks * g.panel_groups + g.border;
}

static void positions(const conv_data *d, const walk *w, const float *base, size_t begin,
                      size_t end, const float **p) {
    const size_t per_item = d->oh * d->ow;
    size_t item = begin / per_item, y = begin % per_item / d->ow, x = begin % d->ow;
    for (size_t i = begin; i < end; i++) {
        *p++ = base + w->origin + (ptrdiff_t)item * w->item + (ptrdiff_t)y * w->y +
               (ptrdiff_t)x * w->x;
        if (++x == d->ow) {
            x = 0;
            if (++y == d->oh) y = 0, item++;
        }
    }
}

/* The activation of a tile, over stretches as long as they lie in memory: rows of a block that are
 * neighbours, or the columns of a plain row. */
static void finish(const ek_nn_step *s, const ek_tile *t) {
    const conv_data *d = s->data;
    if (s->buf[1]->lanes != EK_LANES) {
        for (size_t r = 0; r < t->rows; r++)
            s->isa->act(d->act, d->param, t->c[r] + t->c_off, t->columns);
        return;
    }
    for (size_t b = 0; b * EK_LANES < t->columns; b++)
        for (size_t r = 0, n; r < t->rows; r += n) {
            float *first = t->c[r] + t->c_off + b * s->buf[1]->plane;
            for (n = 1; r + n < t->rows && t->c[r + n] == t->c[r] + n * EK_LANES;) n++;
            s->isa->act(d->act, d->param, first, n * EK_LANES);
        }
}

static ek_status conv_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const conv_data *d = s->data;
    const grid g = conv_grid(s, c);
    const ek_nn_buf *res = s->nbufs > 2 ? s->buf[2] : NULL;
    const float **table = ek_arena_alloc(tmp, 3 * g.chunk, sizeof *table);
    float *sums = d->stretches > 1 ? ek_arena_f32(tmp, g.chunk * 2 * s->isa->width) : NULL;
    if (table == NULL || (sums == NULL && d->stretches > 1)) return EK_ENOMEM;
    const float **a = table, **out = table + g.chunk, **r = table + 2 * g.chunk;
    size_t ready = SIZE_MAX; /* the chunk whose addresses are in the table */
    for (size_t u = begin; u < end; u++) {
        if (u == g.chunks * g.panel_groups) {
            ek_nn_zero_border(s->buf[1], ek_nn_at(c, s->buf[1]), 0, c->n * s->buf[1]->items);
            break;
        }
        const size_t chunk = g.late ? u % g.chunks : u / g.panel_groups;
        const size_t part = g.late ? u / g.chunks : u % g.panel_groups;
        const size_t p0 = chunk * g.chunk, p1 = g.total - p0 < g.chunk ? g.total : p0 + g.chunk;
        if (p0 >= g.total) continue;
        if (chunk != ready) {
            positions(d, &d->in, ek_nn_at(c, s->buf[0]), p0, p1, a);
            positions(d, &d->out, ek_nn_at(c, s->buf[1]), p0, p1, out);
            if (res != NULL) positions(d, &d->res, ek_nn_at(c, res), p0, p1, r);
            ready = chunk;
        }
        const size_t len = p1 - p0, tiles = ek_nn_ceil(len, s->isa->rows);
        const size_t q1 = d->panels * (part + 1) / g.panel_groups;
        for (size_t q = d->panels * part / g.panel_groups; q < q1; q++) {
            const panel *p = &d->panel[q];
            const size_t wide = ek_nn_ceil(p->columns, s->isa->width) * s->isa->width;
            ek_tile t = {.bias = d->bias + p->bias,
                         .columns = p->columns,
                         .a_off = p->a_off,
                         .c_off = p->c_off,
                         .res_off = p->res_off,
                         .c_step = d->c_step,
                         .res_step = d->res_step,
                         .lo = d->lo,
                         .hi = d->hi};
            for (size_t k = 0; k < d->stretches; k++) {
                const stretch *part_k = &d->stretch[k];
                t.run = d->run + part_k->run;
                t.runs = part_k->runs;
                t.fold = d->fold && part_k->runs > 1;
                t.b = d->weight + p->b + part_k->k * wide;
                const int last = k + 1 == d->stretches;
                /* The next stretch, perhaps another panel's, comes from memory meanwhile: otherwise
                 * its first tile would wait. */
                const size_t own = part_k->rows * wide, next = (q + 1 < q1 || !last) ? own : 0;
                t.ahead_step = next ? ek_nn_ceil(wide, tiles) : 0;
                for (size_t i = 0; i < tiles; i++) {
                    const size_t t0 = len * i / tiles, t1 = len * (i + 1) / tiles;
                    t.ahead = t.b + next + i * t.ahead_step * part_k->rows;
                    float *sum = sums ? sums + t0 * 2 * s->isa->width : NULL;
                    t.from = k == 0 ? NULL : sum;
                    t.to = last ? NULL : sum;
                    t.a = a + t0;
                    t.c = (float *const *)(void *)(out + t0);
                    t.res = res ? r + t0 : NULL;
                    t.rows = t1 - t0;
                    s->isa->tile(&t);
                    if (last && d->act != EK_ACT_NONE) finish(s, &t);
                }
            }
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_conv = {"conv", conv_init, conv_units, conv_run};
const ek_nn_op ek_nn_linear = {"linear", linear_init, conv_units, conv_run};
