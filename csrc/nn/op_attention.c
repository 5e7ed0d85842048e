/* Attention: per head softmax(scale * q k^T + bias + mask) v, read and written in place of the
 * heads by strides, so that neither splitting heads, nor transposing them, nor cutting a picture
 * into windows costs a copy.
 *   attention   bufs q, k, v, out, [keep]
 *     ints   heads, tq, tk, dk, dv, causal, three item counts,
 *            for q, k, v and out: offset, three item strides, token stride, head stride,
 *            three item strides of keep,
 *            grid height and width, window height and width, shift down and right (0: no windows)
 *     reals  scale
 *     arrays bias (heads, tq, tk) or empty, mask (patterns, tq, tk) or empty
 * Item i adds pattern i % patterns. keep: (..., tk), a key of 0 takes no part. causal: query t sees
 * keys 0..t. With windows an item is one window of one picture (the second item count is their
 * number), its tokens go row by row, and a token's place in the grid is moved by the shift, around
 * the edges. A query that no key is left for gets zeros. Keys go in blocks with a running softmax,
 * so scratch does not grow with tq*tk; the blocks depend on the sizes alone. */
#include "nn_step.h"
#include <math.h>
#include <string.h>

enum { ITEMS = 3, Q = 0, K = 1, V = 2, OUT = 3, VIEW_INTS = 6, INTS = 42 };
enum {
    BLOCK_BYTES = 192 << 10, /* packed keys and values of a block */
    MAX_KEYS = 512,
    KEY_STRETCH = 128, /* weights are summed in pieces of so many keys, which keeps errors small */
    DOT_STRETCH = 96,  /* and products of queries and keys of so many columns, */
    FEW_QUERIES = 4,
    FEW_STRETCH = 16, /* fewer for a few queries, where it costs nothing */
    QUERY_TILES = 24, /* that share packed keys and values */
};

typedef struct {
    size_t offset, item[ITEMS], token, head;
} view;

typedef struct {
    size_t heads, tq, tk, dk, dv, items[ITEMS], keys,
        dot; /* keys of a block, columns of a stretch */
    int causal;
    view view[4];
    size_t keep[ITEMS];
    size_t grid_h, grid_w, win_h, win_w, down, right;
    size_t patterns;
    const float *bias, *zeros; /* NULL: no bias; zeros: a panel of them for the products */
    const float **mask;        /* per pattern; NULL: nothing to add */
    float scale;
} attn;

/* ---- building ---- */

/* Floats from the buffer's beginning to just behind the view's last element; 0: overflow. */
static size_t reach(const attn *d, const view *v, size_t tokens, size_t width) {
    size_t end = v->offset, step;
    const size_t count[ITEMS + 2] = {d->items[0], d->items[1], d->items[2], tokens, d->heads};
    const size_t stride[ITEMS + 2] = {v->item[0], v->item[1], v->item[2], v->token, v->head};
    for (size_t i = 0; i < ITEMS + 2; i++)
        if (__builtin_mul_overflow(count[i] - 1, stride[i], &step) ||
            __builtin_add_overflow(end, step, &end))
            return 0;
    return __builtin_add_overflow(end, width, &end) ? 0 : end;
}

static int fits(const attn *d, const ek_nn_buf *const *bufs) {
    for (size_t i = 0; i < 4; i++) {
        const ek_nn_buf *b = bufs[i];
        if (b == NULL || b->lanes != 1 || ek_nn_has_border(b)) return 0;
        size_t tokens = i == Q || i == OUT ? d->tq : d->tk;
        if (d->grid_h) tokens = d->grid_h * d->grid_w;
        const size_t end = reach(d, &d->view[i], tokens, i == V || i == OUT ? d->dv : d->dk);
        if (end == 0 || end > b->size) return 0;
    }
    return 1;
}

static int read_ints(attn *d, const ek_nn_args *a) {
    for (size_t i = 0; i < INTS; i++)
        if (a->ints[i] < 0 || a->ints[i] > INT32_MAX) return 0;
    const int64_t *n = a->ints;
    d->heads = (size_t)n[0], d->tq = (size_t)n[1], d->tk = (size_t)n[2];
    d->dk = (size_t)n[3], d->dv = (size_t)n[4], d->causal = n[5] != 0;
    for (size_t i = 0; i < ITEMS; i++) d->items[i] = (size_t)n[6 + i];
    n += 6 + ITEMS;
    for (size_t i = 0; i < 4; i++, n += VIEW_INTS)
        d->view[i] = (view){
            (size_t)n[0], {(size_t)n[1], (size_t)n[2], (size_t)n[3]},
             (size_t)n[4], (size_t)n[5]
        };
    for (size_t i = 0; i < ITEMS; i++) d->keep[i] = (size_t)n[i];
    n += ITEMS;
    d->grid_h = (size_t)n[0], d->grid_w = (size_t)n[1], d->win_h = (size_t)n[2];
    d->win_w = (size_t)n[3], d->down = (size_t)n[4], d->right = (size_t)n[5];
    if (d->heads == 0 || d->tq == 0 || d->tk == 0 || d->dk == 0 || d->dv == 0) return 0;
    if (d->items[0] == 0 || d->items[1] == 0 || d->items[2] == 0) return 0;
    if (d->grid_h == 0) return 1;
    return d->grid_w && d->win_h && d->win_w && d->grid_h % d->win_h == 0 &&
           d->grid_w % d->win_w == 0 && d->tq == d->win_h * d->win_w && d->tk == d->tq &&
           d->items[1] == d->grid_h / d->win_h * (d->grid_w / d->win_w);
}

static size_t block_keys(const attn *d, size_t panel) {
    size_t keys = BLOCK_BYTES / sizeof(float) / (d->dk + d->dv);
    if (keys > MAX_KEYS) keys = MAX_KEYS;
    if (keys < panel) keys = panel;
    return keys / panel * panel;
}

/* The same bias of an earlier layer, or NULL: layers that share one keep it once. */
static const float *shared_bias(const ek_nn_step *s, const float *bias, size_t count) {
    for (size_t i = s->nearlier; i-- > 0;) {
        if (s->earlier[i].op != s->op) continue;
        const attn *d = s->earlier[i].data;
        if (d->bias != NULL && d->heads * d->tq * d->tk == count &&
            memcmp(d->bias, bias, count * sizeof(float)) == 0)
            return d->bias;
    }
    return NULL;
}

static ek_status attn_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 4 || a->nbufs > 5 || a->nints != INTS || a->nreals != 1 || a->narrays != 2)
        return EK_EVALUE;
    attn head = {0};
    const ek_nn_buf *keep = a->nbufs > 4 ? s->buf[4] : NULL;
    size_t square, biases;
    if (!read_ints(&head, a) || !fits(&head, s->buf)) return EK_EVALUE;
    if (__builtin_mul_overflow(head.tq, head.tk, &square) ||
        __builtin_mul_overflow(square, head.heads, &biases))
        return EK_EVALUE;
    if ((a->lengths[0] && a->lengths[0] != biases) || a->lengths[1] % square) return EK_EVALUE;
    if (keep != NULL) {
        const view v = {
            0, {head.keep[0], head.keep[1], head.keep[2]},
             1, 0
        };
        const size_t end = reach(&head, &v, head.tk, 1);
        if (keep->lanes != 1 || ek_nn_has_border(keep) || end == 0 || end > keep->size)
            return EK_EVALUE;
    }
    head.patterns = a->lengths[1] / square;
    head.keys = block_keys(&head, 2 * s->isa->width);
    head.scale = (float)a->reals[0];
    head.dot = head.tq < FEW_QUERIES ? FEW_STRETCH : DOT_STRETCH;

    if (a->lengths[0]) head.bias = shared_bias(s, a->arrays[0], biases);
    /* equal patterns are kept once, patterns of zeros not at all */
    const size_t panel = 2 * s->isa->width, at_zeros = (sizeof head + 63) / 64 * 64,
                 at_mask = at_zeros + panel * sizeof(float),
                 at_bias = (at_mask + head.patterns * sizeof(float *) + 63) / 64 * 64,
                 floats = (head.bias ? 0 : a->lengths[0]) + a->lengths[1];
    s->data_bytes = at_bias + floats * sizeof(float);
    char *p = s->data = ek_aligned_alloc(s->data_bytes);
    if (p == NULL) return EK_ENOMEM;
    memset(p, 0, at_bias);
    float *next = (float *)(p + at_bias);
    if (a->lengths[0] && head.bias == NULL) {
        head.bias = next;
        memcpy(next, a->arrays[0], biases * sizeof(float));
        next += biases;
    }
    head.zeros = (float *)(p + at_zeros);
    head.mask = (const float **)(p + at_mask);
    for (size_t i = 0; i < head.patterns; i++) {
        const float *m = a->arrays[1] + i * square;
        size_t nonzero = 0, twin = 0;
        while (nonzero < square && m[nonzero] == 0.0f) nonzero++;
        if (nonzero == square) continue;
        while (twin < i && memcmp(a->arrays[1] + twin * square, m, square * sizeof(float)) != 0)
            twin++;
        if (twin < i) {
            head.mask[i] = head.mask[twin];
            continue;
        }
        memcpy(next, m, square * sizeof(float));
        head.mask[i] = next;
        next += square;
    }
    memcpy(p, &head, sizeof head);
    return EK_OK;
}

/* ---- running: units are items x heads x blocks of queries ---- */

static size_t query_blocks(const ek_nn_step *s, const ek_nn_call *c) {
    const attn *d = s->data;
    const size_t heads = c->n * d->items[0] * d->items[1] * d->items[2] * d->heads;
    const size_t tiles = ek_nn_ceil(d->tq, s->isa->rows);
    size_t blocks = ek_nn_ceil(tiles, QUERY_TILES);
    if (c->threads > 1 && heads * blocks < 4 * c->threads && heads % c->threads) {
        const size_t wanted = ek_nn_ceil(4 * c->threads, heads), most = ek_nn_ceil(tiles, 2);
        blocks = wanted > blocks ? wanted : blocks;
        if (blocks > most) blocks = most;
    }
    return blocks;
}

static size_t attn_units(const ek_nn_step *s, const ek_nn_call *c) {
    const attn *d = s->data;
    return c->n * d->items[0] * d->items[1] * d->items[2] * d->heads * query_blocks(s, c);
}

/* Where one head of one item lies. */
typedef struct {
    size_t sample, item[ITEMS], index, head;
} place;

static void token_rows(const attn *d, const view *v, const place *at, const float *base,
                       size_t begin, size_t end, const float **rows) {
    const float *p =
        base + v->offset + at->item[0] * v->item[0] + at->item[2] * v->item[2] + at->head * v->head;
    if (d->grid_h == 0) {
        p += at->item[1] * v->item[1];
        for (size_t t = begin; t < end; t++) *rows++ = p + t * v->token;
        return;
    }
    const size_t across = d->grid_w / d->win_w;
    const size_t top = at->item[1] / across * d->win_h + d->down,
                 left = at->item[1] % across * d->win_w + d->right;
    for (size_t t = begin; t < end; t++) {
        const size_t y = (top + t / d->win_w) % d->grid_h, x = (left + t % d->win_w) % d->grid_w;
        *rows++ = p + (y * d->grid_w + x) * v->token;
    }
}

static int not_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad != 0;
}

/* What a thread works with: tables of rows, packed keys and values, scores of one tile, and of
 * every query of the block its sum of products and the state of its softmax. */
typedef struct {
    const float **q, **k, **v, **out, **p;
    float *keys, *values, *scores, *part, *sums, *top, *sum, *fade;
    size_t packed; /* the head and block in keys and values, SIZE_MAX: none */
} work;

static int work_new(const attn *d, const ek_nn_isa *isa, size_t queries, work *w, ek_arena *tmp) {
    const size_t panel = 2 * isa->width, kp = ek_nn_ceil(d->keys, panel) * panel,
                 vp = ek_nn_ceil(d->dv, panel) * panel;
    const float **rows = ek_arena_alloc(tmp, 2 * queries + 2 * d->tk + isa->rows, sizeof *rows);
    w->keys = ek_arena_f32(tmp, kp * d->dk);
    w->values = ek_arena_f32(tmp, d->keys * vp);
    w->scores = ek_arena_f32(tmp, isa->rows * kp);
    w->part = ek_arena_f32(tmp, isa->rows * panel);
    w->sums = ek_arena_f32(tmp, queries * vp);
    w->top = ek_arena_f32(tmp, 3 * queries);
    if (rows == NULL || w->keys == NULL || w->values == NULL || w->scores == NULL ||
        w->part == NULL || w->sums == NULL || w->top == NULL)
        return 0;
    w->q = rows, w->out = rows + queries, w->k = rows + 2 * queries, w->v = w->k + d->tk;
    w->p = w->v + d->tk;
    w->sum = w->top + queries, w->fade = w->sum + queries;
    w->packed = SIZE_MAX;
    for (size_t r = 0; r < isa->rows; r++) w->p[r] = w->scores + r * kp;
    return 1;
}

/* Panels of two vectors of keys, the last of one if that is enough; the same for the values'
 * columns. */
static void pack(const attn *d, const ek_nn_isa *isa, work *w, size_t k0, size_t n) {
    const size_t width = isa->width, panel = 2 * width;
    for (size_t j = 0; j < n; j += panel) {
        const size_t wide = n - j > width ? panel : width;
        float *to = w->keys + j * d->dk;
        for (size_t h = 0; h < wide; h += width) {
            const size_t left = n - j - h;
            isa->attn_turn(w->k + k0 + j + h, left < width ? left : width, d->dk, to + h, wide);
        }
    }
    for (size_t j = 0; j < d->dv; j += panel) {
        const size_t left = d->dv - j, wide = left > width ? panel : width,
                     cols = left < wide ? left : wide;
        float *to = w->values + j * d->keys;
        for (size_t i = 0; i < n; i++, to += wide) {
            memcpy(to, w->v[k0 + i] + j, cols * sizeof(float));
            if (cols < wide) memset(to + cols, 0, (wide - cols) * sizeof(float));
        }
    }
}

/* Rows t0..t0+rows of the block's queries, which start at query `first`, against keys k0..k0+n of
 * the `packed` ones. */
static void attend(const attn *d, const ek_nn_isa *isa, const place *at, work *w, size_t first,
                   size_t t0, size_t rows, size_t k0, size_t n, size_t packed, const float *keep) {
    const size_t width = isa->width, panel = 2 * width, pitch = ek_nn_ceil(d->keys, panel) * panel;
    ek_tile t = {.bias = d->zeros,
                 .rows = rows,
                 .a = w->q + t0,
                 .c = (float *const *)(void *)w->p,
                 .c_step = (ptrdiff_t)width,
                 .runs = 1,
                 .lo = -INFINITY,
                 .hi = INFINITY};
    for (size_t j = 0; j < n; j += panel) {
        t.columns = packed - j > width ? panel : width;
        t.b = w->keys + j * d->dk;
        t.c_off = (ptrdiff_t)j;
        for (size_t i = 0; i < d->dk; i += d->dot) {
            const size_t left = d->dk - i;
            const ek_run part = {(int32_t)i, (int32_t)(left < d->dot ? left : d->dot)};
            t.run = &part;
            t.from = i ? w->part : NULL;
            t.to = left > d->dot ? w->part : NULL;
            isa->tile(&t);
            t.b += d->dot * (t.columns > width ? panel : width);
        }
    }
    const float *pattern = d->patterns ? d->mask[at->index % d->patterns] : NULL;
    for (size_t r = 0; r < rows; r++) {
        const size_t q = first + t0 + r;
        const size_t seen = !d->causal ? n : q < k0 ? 0 : q + 1 - k0 < n ? q + 1 - k0 : n;
        const size_t row = q * d->tk + k0;
        isa->attn_row(&(ek_attn_row){
            .x = w->scores + r * pitch,
            .n = seen,
            .fill = n,
            .bias = {d->bias ? d->bias + at->head * d->tq * d->tk + row : NULL,
                     pattern ? pattern + row : NULL},
            .keep = keep ? keep + k0 : NULL,
            .scale = d->scale,
            .top = w->top + t0 + r,
            .sum = w->sum + t0 + r,
            .fade = w->fade + t0 + r
        });
    }
    t.a = w->p;
    for (size_t j = 0; j < d->dv; j += panel) {
        float *sums = w->sums + t0 * ek_nn_ceil(d->dv, panel) * panel + j * rows;
        if (k0)
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < panel; i++) sums[r * panel + i] *= w->fade[t0 + r];
        t.columns = d->dv - j > width ? panel : width;
        t.b = w->values + j * d->keys;
        t.to = sums;
        for (size_t i = 0; i < n; i += KEY_STRETCH) {
            const ek_run part = {(int32_t)i, (int32_t)(n - i < KEY_STRETCH ? n - i : KEY_STRETCH)};
            t.run = &part;
            t.from = k0 + i ? sums : NULL;
            isa->tile(&t);
            t.b += KEY_STRETCH * (t.columns > width ? panel : width);
        }
    }
}

static void hand_out(const attn *d, const ek_nn_isa *isa, work *w, size_t t0, size_t rows) {
    const size_t panel = 2 * isa->width;
    for (size_t j = 0; j < d->dv; j += panel) {
        const size_t n = d->dv - j < panel ? d->dv - j : panel;
        const float *sums = w->sums + t0 * ek_nn_ceil(d->dv, panel) * panel + j * rows;
        for (size_t r = 0; r < rows; r++) {
            const float total = w->sum[t0 + r], scale = total == 0.0f ? 0.0f : 1.0f / total;
            float *out = (float *)(uintptr_t)w->out[t0 + r] + j;
            for (size_t i = 0; i < n; i++) out[i] = sums[r * panel + i] * scale;
        }
    }
}

static void find(const attn *d, size_t head, place *at) {
    at->head = head % d->heads;
    size_t i = head / d->heads;
    at->index = i % (d->items[0] * d->items[1] * d->items[2]);
    at->item[2] = i % d->items[2];
    i /= d->items[2];
    at->item[1] = i % d->items[1];
    i /= d->items[1];
    at->item[0] = i % d->items[0];
    at->sample = i / d->items[0];
}

static ek_status attn_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const attn *d = s->data;
    const ek_nn_isa *isa = s->isa;
    const size_t blocks = query_blocks(s, c), tiles = ek_nn_ceil(d->tq, isa->rows);
    const ek_nn_buf *keep_buf = s->nbufs > 4 ? s->buf[4] : NULL;
    work w;
    if (!work_new(d, isa, (ek_nn_ceil(tiles, blocks) + 1) * isa->rows, &w, tmp)) return EK_ENOMEM;
    size_t ready = SIZE_MAX; /* the head whose rows are in the tables */
    int bad = 0;             /* its values are not all finite: weights of 0 count, too */
    for (size_t u = begin; u < end; u++) {
        const size_t head = u / blocks, part = u % blocks;
        place at;
        find(d, head, &at);
        const float *base[4];
        for (size_t i = 0; i < 4; i++)
            base[i] = ek_nn_at(c, s->buf[i]) + at.sample * s->buf[i]->size;
        const float *keep = NULL;
        if (keep_buf != NULL) {
            keep = ek_nn_at(c, keep_buf) + at.sample * keep_buf->size;
            for (size_t i = 0; i < ITEMS; i++) keep += at.item[i] * d->keep[i];
        }
        const size_t q0 = d->tq * part / blocks, q1 = d->tq * (part + 1) / blocks, nq = q1 - q0;
        token_rows(d, &d->view[Q], &at, base[Q], q0, q1, w.q);
        token_rows(d, &d->view[OUT], &at, base[OUT], q0, q1, w.out);
        if (head != ready) {
            token_rows(d, &d->view[K], &at, base[K], 0, d->tk, w.k);
            token_rows(d, &d->view[V], &at, base[V], 0, d->tk, w.v);
            ready = head;
            w.packed = SIZE_MAX;
            bad = 0;
            if (d->causal)
                for (size_t i = 0; i < d->tk && !bad; i++) bad = not_finite(w.v[i], d->dv);
        }
        for (size_t i = 0; i < nq; i++) w.top[i] = -INFINITY, w.sum[i] = 0.0f;
        const size_t pieces = ek_nn_ceil(nq, isa->rows);
        for (size_t k0 = 0; k0 < d->tk; k0 += d->keys) {
            if (d->causal && !bad && k0 >= q1) break;
            const size_t left = d->tk - k0, n = left < d->keys ? left : d->keys;
            if (w.packed != k0) pack(d, isa, &w, k0, n);
            w.packed = k0;
            for (size_t i = 0; i < pieces; i++) {
                const size_t t0 = nq * i / pieces, t1 = nq * (i + 1) / pieces;
                size_t seen = n;
                if (d->causal && !bad) {
                    if (k0 >= q0 + t1) continue;
                    seen = q0 + t1 - k0 < n ? q0 + t1 - k0 : n;
                }
                attend(d, isa, &at, &w, q0, t0, t1 - t0, k0, seen, n, keep);
            }
        }
        for (size_t i = 0; i < pieces; i++) {
            const size_t t0 = nq * i / pieces, t1 = nq * (i + 1) / pieces;
            hand_out(d, isa, &w, t0, t1 - t0);
        }
        if (end - u > 1) {
            const ek_status st = ek_poll();
            if (st != EK_OK) return st;
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_attention = {"attention", attn_init, attn_units, attn_run};
