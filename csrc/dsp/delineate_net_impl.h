/* The network's two halves, written once over vectors of LANES floats. A file that includes this
 * defines vec, LANES, ACCUMULATORS and v_load, v_store, v_set, v_add, v_relu, v_fma (a * b + c).
 * Everything is inlined with constant channel counts, so that a tile's sums stay in registers. */
#include "delineate_net.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* out = bias + x w for `tile` rows of x; w (cin, cout). Rows of x are ldx apart. */
INLINE void pointwise(const float *x, size_t ldx, size_t cin, const float *w, const float *bias,
                      size_t cout, size_t tile, vec *acc) {
    const size_t nv = cout / LANES;
    UNROLL for (size_t v = 0; v < nv; v++) {
        UNROLL for (size_t r = 0; r < tile; r++) acc[r * nv + v] = v_load(bias + v * LANES);
    }
    for (size_t c = 0; c < cin; c++) {
        UNROLL for (size_t v = 0; v < nv; v++) {
            const vec wv = v_load(w + c * cout + v * LANES);
            UNROLL for (size_t r = 0; r < tile; r++) acc[r * nv + v] =
                v_fma(v_set(x[r * ldx + c]), wv, acc[r * nv + v]);
        }
    }
}

/* `tile` rows of a block from row t of x into y. */
INLINE void block_tile(const float *w, const float *x, float *y, size_t t, size_t ch, size_t taps,
                       size_t tile) {
    const size_t nv = ch / LANES;
    const float *pw = w + taps * ch, *bias = pw + ch * ch;
    float mid[ACCUMULATORS * LANES] __attribute__((aligned(64)));
    vec acc[ACCUMULATORS];
    UNROLL for (size_t i = 0; i < ACCUMULATORS; i++) acc[i] = v_set(0.0f);
    for (size_t k = 0; k < taps; k++) {
        const float *row = x + ((ptrdiff_t)(t + k) - (ptrdiff_t)(taps / 2)) * (ptrdiff_t)ch;
        UNROLL for (size_t v = 0; v < nv; v++) {
            const vec wv = v_load(w + k * ch + v * LANES);
            UNROLL for (size_t r = 0; r < tile; r++) acc[r * nv + v] =
                v_fma(v_load(row + r * ch + v * LANES), wv, acc[r * nv + v]);
        }
    }
    UNROLL for (size_t i = 0; i < tile * nv; i++) v_store(mid + i * LANES, acc[i]);
    pointwise(mid, ch, ch, pw, bias, ch, tile, acc);
    UNROLL for (size_t i = 0; i < tile * nv; i++)
        v_store(y + t * ch + i * LANES, v_add(v_load(x + t * ch + i * LANES), v_relu(acc[i])));
}

/* y = x + relu(pointwise(depthwise(x))) for rows 0..n. */
INLINE void block(const float *w, const float *x, float *y, size_t n, size_t ch, size_t taps) {
    const size_t tile = ACCUMULATORS * LANES / ch;
    size_t t = 0;
    for (; t + tile <= n; t += tile) block_tile(w, x, y, t, ch, taps, tile);
    for (; t < n; t++) block_tile(w, x, y, t, ch, taps, 1);
}

/* y (n, cout) = pointwise(sum of two rows of x (2n, cin)); the weights hold the half. */
INLINE void down(const float *w, const float *x, float *y, size_t n, size_t cin, size_t cout) {
    const size_t nv = cout / LANES, tile = ACCUMULATORS / nv;
    float sum[ACCUMULATORS * DELIN_B] __attribute__((aligned(64)));
    vec acc[ACCUMULATORS];
    for (size_t t = 0; t < n;) {
        const size_t m = t + tile <= n ? tile : 1;
        for (size_t r = 0; r < m; r++)
            for (size_t c = 0; c < cin; c += LANES)
                v_store(sum + r * cin + c, v_add(v_load(x + 2 * (t + r) * cin + c),
                                                 v_load(x + (2 * (t + r) + 1) * cin + c)));
        if (m == tile)
            pointwise(sum, cin, cin, w, w + cin * cout, cout, tile, acc);
        else
            pointwise(sum, cin, cin, w, w + cin * cout, cout, 1, acc);
        for (size_t i = 0; i < m * nv; i++) v_store(y + t * cout + i * LANES, acc[i]);
        t += m;
    }
}

/* Add pointwise(low (n, cin)) to y (2n, cout), each row twice. */
INLINE void up(const float *w, const float *low, float *y, size_t n, size_t cin, size_t cout) {
    const size_t nv = cout / LANES, tile = ACCUMULATORS / nv;
    vec acc[ACCUMULATORS];
    for (size_t t = 0; t < n;) {
        const size_t m = t + tile <= n ? tile : 1;
        if (m == tile)
            pointwise(low + t * cin, cin, cin, w, w + cin * cout, cout, tile, acc);
        else
            pointwise(low + t * cin, cin, cin, w, w + cin * cout, cout, 1, acc);
        for (size_t r = 0; r < m; r++)
            for (size_t v = 0; v < nv; v++) {
                float *to = y + 2 * (t + r) * cout + v * LANES;
                v_store(to, v_add(v_load(to), acc[r * nv + v]));
                v_store(to + cout, v_add(v_load(to + cout), acc[r * nv + v]));
            }
        t += m;
    }
}

INLINE void stem_tile(const float *w, const float *z, const float *phase, float *y, size_t t,
                      size_t tile) {
    const size_t nv = DELIN_A / LANES;
    vec acc[ACCUMULATORS];
    UNROLL for (size_t i = 0; i < tile * nv; i++) acc[i] = v_load(phase + t * DELIN_A + i * LANES);
    for (size_t k = 0; k < DELIN_STEM; k++) {
        const float *from = z + 2 * t + k - DELIN_STEM / 2;
        UNROLL for (size_t v = 0; v < nv; v++) {
            const vec wv = v_load(w + k * DELIN_A + v * LANES);
            UNROLL for (size_t r = 0; r < tile; r++) acc[r * nv + v] =
                v_fma(v_set(from[2 * r]), wv, acc[r * nv + v]);
        }
    }
    UNROLL for (size_t i = 0; i < tile * nv; i++)
        v_store(y + t * DELIN_A + i * LANES, v_relu(acc[i]));
}

/* The phase layers: in (n, PHASE) to out (n, A). */
static void phase_layers(const float *w, const float *in, size_t n, float *out) {
    const size_t nh = DELIN_HIDDEN / LANES, na = DELIN_A / LANES;
    float hidden[DELIN_HIDDEN] __attribute__((aligned(64)));
    vec acc[DELIN_HIDDEN / LANES];
    for (size_t t = 0; t < n; t++) {
        pointwise(in + t * DELIN_PHASE, DELIN_PHASE, DELIN_PHASE, w + DW_PHASE1, w + DW_PHASE1_B,
                  DELIN_HIDDEN, 1, acc);
        UNROLL for (size_t v = 0; v < nh; v++) v_store(hidden + v * LANES, v_relu(acc[v]));
        pointwise(hidden, DELIN_HIDDEN, DELIN_HIDDEN, w + DW_PHASE2, w + DW_PHASE2_B, DELIN_A, 1,
                  acc);
        UNROLL for (size_t v = 0; v < na; v++) v_store(out + t * DELIN_A + v * LANES, acc[v]);
    }
}

static void encode(const float *w, const float *z, const float *phase, size_t n4,
                   const delin_rows *keep, const delin_rows *work) {
    const size_t tile = ACCUMULATORS * LANES / DELIN_A;
    size_t t = 0;
    for (; t + tile <= 4 * n4; t += tile) stem_tile(w + DW_STEM, z, phase, work->h1, t, tile);
    for (; t < 4 * n4; t++) stem_tile(w + DW_STEM, z, phase, work->h1, t, 1);
    block(w + DW_B1, work->h1, keep->h1, 4 * n4, DELIN_A, DELIN_KA);
    down(w + DW_D1, keep->h1, work->h2, 2 * n4, DELIN_A, DELIN_B);
    block(w + DW_B2, work->h2, keep->h2, 2 * n4, DELIN_B, DELIN_KB);
    down(w + DW_D2, keep->h2, keep->h3, n4, DELIN_B, DELIN_B);
}

static void score(const float *w, const float *add, size_t n4, const delin_rows *keep,
                  const delin_rows *work, float *out) {
    for (size_t i = 0; i < n4 * DELIN_B; i += LANES)
        v_store(keep->h3 + i, v_relu(v_add(v_load(keep->h3 + i), v_load(add + i))));
    block(w + DW_B3, keep->h3, work->h3, n4, DELIN_B, DELIN_KB);
    block(w + DW_B4, work->h3, keep->h3, n4, DELIN_B, DELIN_KB);
    block(w + DW_B5, keep->h3, work->h3, n4, DELIN_B, DELIN_KB);
    up(w + DW_U2, work->h3, keep->h2, n4, DELIN_B, DELIN_B);
    block(w + DW_B6, keep->h2, work->h2, 2 * n4, DELIN_B, DELIN_KB);
    up(w + DW_U1, work->h2, keep->h1, 2 * n4, DELIN_B, DELIN_A);
    block(w + DW_B7, keep->h1, work->h1, 4 * n4, DELIN_A, DELIN_KA);
    const float *head = w + DW_HEAD, *bias = head + DELIN_A * DELIN_CLASSES;
    for (size_t t = 0; t < 4 * n4; t++) {
        float sum[DELIN_CLASSES];
        for (size_t c = 0; c < DELIN_CLASSES; c++) sum[c] = bias[c];
        for (size_t i = 0; i < DELIN_A; i++)
            for (size_t c = 0; c < DELIN_CLASSES; c++)
                sum[c] += work->h1[t * DELIN_A + i] * head[i * DELIN_CLASSES + c];
        for (size_t c = 0; c < DELIN_CLASSES; c++) out[t * DELIN_CLASSES + c] = sum[c];
    }
}
