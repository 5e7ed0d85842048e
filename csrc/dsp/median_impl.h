/* median_impl.h: the running median of one row, written once for both precisions. The including
 * file defines REAL  float or double    KEY  the unsigned integer of that size    PASSES, DIGIT
 * radix sort passes and bits NAME(x)  x with the suffix
 *
 * The extended row is sorted once, which gives every sample a unique rank. Window membership is a
 * bitset over ranks, and the median's rank moves to the next or previous set bit as the window
 * slides: the time does not depend on the window. */
#include "ek_dsp.h"
#include <math.h>
#include <string.h>

enum { BUCKETS = 1 << DIGIT };

typedef struct {
    KEY key;
    KEY index;
} entry;

/* Order-preserving integer of a number; NaN comes last. */
static inline KEY key_of(REAL v) {
    const int top = 8 * (int)sizeof(KEY) - 1;
    KEY u;
    memcpy(&u, &v, sizeof u);
    if (v != v) return ~(KEY)0;
    return u >> top ? ~u : u | (KEY)1 << top;
}

/* Sort by key, stable; a and b take turns; the sorted one is returned. count: (PASSES, BUCKETS). */
static entry *sort_entries(entry *a, entry *b, size_t m, uint32_t *count) {
    memset(count, 0, (size_t)PASSES * BUCKETS * sizeof *count);
    for (size_t i = 0; i < m; i++)
        for (int p = 0; p < PASSES; p++)
            count[p * BUCKETS + (int)(a[i].key >> p * DIGIT & (BUCKETS - 1))]++;
    for (int p = 0; p < PASSES; p++) {
        uint32_t *c = count + p * BUCKETS;
        if (c[a[0].key >> p * DIGIT & (BUCKETS - 1)] == m) continue; /* all share this digit */
        uint32_t at = 0;
        for (int k = 0; k < BUCKETS; k++) {
            const uint32_t here = c[k];
            c[k] = at;
            at += here;
        }
        for (size_t i = 0; i < m; i++) b[c[a[i].key >> p * DIGIT & (BUCKETS - 1)]++] = a[i];
        entry *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

/* Sample of x that lies at place i (may be outside) under the edge rule; -1: the constant 0. */
static inline ptrdiff_t edge_index(ptrdiff_t i, ptrdiff_t t, ek_dsp_edge edge) {
    if (i >= 0 && i < t) return i;
    if (edge == EK_EDGE_ZERO) return -1;
    if (edge == EK_EDGE_NEAREST) return i < 0 ? 0 : t - 1;
    i %= 2 * t; /* the end sample is repeated: d c b a | a b c d | d c b a */
    if (i < 0) i += 2 * t;
    return i < t ? i : 2 * t - 1 - i;
}

static inline uint32_t next_bit(const uint64_t *bits, uint32_t p) { /* above p; there is one */
    uint32_t w = p >> 6;
    uint64_t word = bits[w] & ~(uint64_t)1 << (p & 63);
    while (word == 0) word = bits[++w];
    return (w << 6) + (uint32_t)__builtin_ctzll(word);
}

static inline uint32_t previous_bit(const uint64_t *bits, uint32_t p) { /* below p; there is one */
    uint32_t w = p >> 6;
    uint64_t word = bits[w] & (((uint64_t)1 << (p & 63)) - 1);
    while (word == 0) word = bits[--w];
    return (w << 6) + 63 - (uint32_t)__builtin_clzll(word);
}

typedef struct {
    entry *a, *b;
    uint32_t *count, *rank;
    REAL *value; /* by rank */
    uint64_t *bits;
    REAL *extended;
} median_scratch;

static int scratch_make(size_t t, size_t size, median_scratch *s, ek_arena *tmp) {
    const size_t m = t + size - 1;
    s->a = ek_arena_alloc(tmp, m, sizeof *s->a);
    s->b = ek_arena_alloc(tmp, m, sizeof *s->b);
    s->count = ek_arena_alloc(tmp, (size_t)PASSES * BUCKETS, sizeof *s->count);
    s->rank = ek_arena_alloc(tmp, m, sizeof *s->rank);
    s->value = ek_arena_alloc(tmp, m, sizeof *s->value);
    s->bits = ek_arena_alloc(tmp, m / 64 + 1, sizeof *s->bits);
    s->extended = ek_arena_alloc(tmp, m, sizeof *s->extended);
    return s->a && s->b && s->count && s->rank && s->value && s->bits && s->extended;
}

static void median_row(const REAL *x, size_t t, size_t size, ek_dsp_edge edge, REAL *out,
                       const median_scratch *s) {
    const size_t half = size / 2, m = t + size - 1;
    size_t nans = 0;
    for (size_t i = 0; i < m; i++) {
        const ptrdiff_t from = edge_index((ptrdiff_t)i - (ptrdiff_t)half, (ptrdiff_t)t, edge);
        const REAL v = from < 0 ? 0 : x[from];
        s->extended[i] = v;
        s->a[i] = (entry){key_of(v), (KEY)i};
        nans += v != v;
    }
    const entry *sorted = sort_entries(s->a, s->b, m, s->count);
    for (size_t r = 0; r < m; r++) {
        s->rank[sorted[r].index] = (uint32_t)r;
        s->value[r] = s->extended[sorted[r].index];
    }
    uint64_t *bits = s->bits;
    memset(bits, 0, (m / 64 + 1) * sizeof *bits);
    for (size_t i = 0; i < size; i++) bits[s->rank[i] >> 6] |= (uint64_t)1 << (s->rank[i] & 63);
    uint32_t p = (uint32_t)__builtin_ctzll(bits[0] | (uint64_t)1 << 63);
    if (!(bits[p >> 6] >> (p & 63) & 1)) p = next_bit(bits, p);
    for (size_t i = 0; i < half; i++) p = next_bit(bits, p);
    out[0] = s->value[p];
    for (size_t i = 1; i < t; i++) {
        const uint32_t gone = s->rank[i - 1], come = s->rank[i + size - 1];
        bits[gone >> 6] &= ~((uint64_t)1 << (gone & 63));
        bits[come >> 6] |= (uint64_t)1 << (come & 63);
        const int shift =
            (come < p) - (gone < p); /* how many more than `half` members lie below p now */
        if (shift > 0)
            p = previous_bit(bits, p);
        else if (shift < 0 || gone == p)
            p = next_bit(bits, p);
        out[i] = s->value[p];
    }
    if (nans == 0) return;
    size_t inside = 0; /* NaNs in the window */
    for (size_t i = 0; i < m; i++) {
        inside += s->extended[i] != s->extended[i];
        if (i >= size) inside -= s->extended[i - size] != s->extended[i - size];
        if (i + 1 >= size && inside > 0) out[i + 1 - size] = (REAL)NAN;
    }
}

typedef struct {
    const REAL *x;
    size_t t, size;
    ek_dsp_edge edge;
    REAL *out;
} median_job;

static ek_status median_rows(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const median_job *j = ctx;
    median_scratch s;
    if (!scratch_make(j->t, j->size, &s, tmp)) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++)
        median_row(j->x + i * j->t, j->t, j->size, j->edge, j->out + i * j->t, &s);
    return EK_OK;
}

ek_status NAME(ek_dsp_median)(const REAL *x, size_t n, size_t t, size_t size, ek_dsp_edge edge,
                              REAL *out) {
    if (n == 0) return EK_OK;
    if (t == 0 || size % 2 == 0 || size > 2 * t - 1 || t > UINT32_MAX / 4) return EK_ESHAPE;
    median_job j = {x, t, size, edge, out};
    return ek_parallel_for(n, 1 + 16384 / t, median_rows, &j);
}
