/* Products of two computed matrices, many small ones at a time: attention that is not fused, Gram
 * matrices, gates.
 *   matmul   bufs a, b, out (items, m, n), plain
 *     ints   m, k, n, axes; then per axis its length, the stride of a and of b in floats (0: the
 *            operand repeats)
 * Item i is a[i] (m, k) times b[i] (k, n), row-major. The panels of b are packed on the fly and all
 * rows of a share them. */
#include "nn_step.h"
#include <string.h>

enum { MAX_AXES = 6, STRETCH = 144, HEAD = 4, PER_AXIS = 3 };

typedef struct {
    size_t m, k, n, items, axes;
    size_t length[MAX_AXES], a[MAX_AXES], b[MAX_AXES];
} matmul;

static ek_status matmul_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 3 || a->nints < HEAD) return EK_EVALUE;
    const int64_t *n = a->ints;
    for (size_t i = 0; i < a->nints; i++)
        if (n[i] < (i < HEAD - 1) || n[i] > INT32_MAX) return EK_EVALUE;
    const size_t axes = (size_t)n[3];
    if (axes > MAX_AXES || a->nints != HEAD + PER_AXIS * axes) return EK_EVALUE;
    for (size_t i = 0; i < 3; i++)
        if (s->buf[i] == NULL || s->buf[i]->lanes != 1 || ek_nn_has_border(s->buf[i]))
            return EK_EVALUE;
    matmul d = {(size_t)n[0], (size_t)n[1], (size_t)n[2], 1, axes, {0}, {0}, {0}};
    size_t end_a = d.m * d.k, end_b = d.k * d.n, size = d.m * d.n; /* below 2**62 each */
    for (size_t i = 0; i < axes; i++) {
        const int64_t *axis = n + HEAD + PER_AXIS * i;
        d.length[i] = (size_t)axis[0], d.a[i] = (size_t)axis[1], d.b[i] = (size_t)axis[2];
        if (d.length[i] == 0 || __builtin_mul_overflow(size, d.length[i], &size)) return EK_EVALUE;
        end_a += (d.length[i] - 1) * d.a[i];
        end_b += (d.length[i] - 1) * d.b[i];
        if (end_a > s->buf[0]->size || end_b > s->buf[1]->size) return EK_EVALUE;
    }
    if (end_a > s->buf[0]->size || end_b > s->buf[1]->size || size != s->buf[2]->size)
        return EK_EVALUE;
    d.items = size / (d.m * d.n);
    s->data_bytes = sizeof d;
    s->data = ek_aligned_alloc(sizeof d);
    if (s->data == NULL) return EK_ENOMEM;
    memcpy(s->data, &d, sizeof d);
    return EK_OK;
}

static size_t chunks(const matmul *d, const ek_nn_call *c) { /* of rows, where items are few */
    const size_t want = ek_nn_ceil(2 * c->threads, c->n * d->items);
    const size_t most = ek_nn_ceil(d->m, EK_TILE_ROWS);
    return c->threads == 1 || want == 0 ? 1 : want < most ? want : most;
}

static size_t matmul_units(const ek_nn_step *s, const ek_nn_call *c) {
    const matmul *d = s->data;
    return c->n * d->items * chunks(d, c);
}

/* Columns j .. j + columns of b as a panel (k, wide), the missing ones zero. */
static void pack(const float *b, size_t k, size_t n, size_t j, size_t columns, size_t wide,
                 float *out) {
    for (size_t i = 0; i < k; i++, out += wide) {
        memcpy(out, b + i * n + j, columns * sizeof *out);
        for (size_t c = columns; c < wide; c++) out[c] = 0.0f;
    }
}

static void panel_rows(const ek_nn_isa *isa, const matmul *d, ek_tile *t, const float *a,
                       float *out, size_t m, float *sums) {
    const float *row[EK_TILE_ROWS];
    float *to[EK_TILE_ROWS];
    const size_t tiles = ek_nn_ceil(m, isa->rows);
    t->a = row, t->c = to;
    const float *packed = t->b;
    for (size_t i = 0; i < tiles; i++) {
        const size_t r0 = m * i / tiles;
        t->rows = m * (i + 1) / tiles - r0;
        for (size_t r = 0; r < t->rows; r++) {
            row[r] = a + (r0 + r) * d->k;
            to[r] = out + (r0 + r) * d->n;
        }
        const size_t wide = ek_nn_ceil(t->columns, isa->width) * isa->width;
        for (size_t k = 0; k < d->k; k += STRETCH) {
            const size_t len = d->k - k < STRETCH ? d->k - k : STRETCH;
            const ek_run run = {(int32_t)k, (int32_t)len};
            t->run = &run, t->runs = 1, t->b = packed + k * wide;
            t->from = k == 0 ? NULL : sums;
            t->to = k + len == d->k ? NULL : sums;
            isa->tile(t);
        }
    }
    t->b = packed;
}

static ek_status matmul_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const matmul *d = s->data;
    const size_t width = s->isa->width, parts = chunks(d, c);
    float *packed = ek_arena_f32(tmp, d->k * 2 * width);
    float *sums = ek_arena_f32(tmp, EK_TILE_ROWS * 2 * width);
    float *zeros = ek_arena_f32(tmp, 2 * width);
    if (packed == NULL || sums == NULL || zeros == NULL) return EK_ENOMEM;
    memset(zeros, 0, 2 * width * sizeof *zeros);
    for (size_t u = begin; u < end; u++) {
        const size_t part = u % parts, item = u / parts % d->items, sample = u / parts / d->items;
        const float *a = ek_nn_at(c, s->buf[0]) + sample * s->buf[0]->size;
        const float *b = ek_nn_at(c, s->buf[1]) + sample * s->buf[1]->size;
        for (size_t i = d->axes, left = item; i-- > 0; left /= d->length[i]) {
            a += left % d->length[i] * d->a[i];
            b += left % d->length[i] * d->b[i];
        }
        const size_t r0 = d->m * part / parts, m = d->m * (part + 1) / parts - r0;
        float *out = ek_nn_at(c, s->buf[2]) + ((sample * d->items + item) * d->m + r0) * d->n;
        for (size_t j = 0; j < d->n; j += 2 * width) {
            const size_t columns = d->n - j < 2 * width ? d->n - j : 2 * width;
            const size_t wide = ek_nn_ceil(columns, width) * width;
            pack(b, d->k, d->n, j, columns, wide, packed);
            ek_tile t = {.b = packed,
                         .bias = zeros,
                         .columns = columns,
                         .c_step = (ptrdiff_t)width,
                         .lo = -__builtin_inff(),
                         .hi = __builtin_inff()};
            panel_rows(s->isa, d, &t, a + r0 * d->k, out + j, m, sums);
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_matmul = {"matmul", matmul_init, matmul_units, matmul_run};
