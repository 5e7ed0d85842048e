/* 32 draws a pass, sums of 16 bits, products of 32. */
#include "ek_metric.h"
#include <immintrin.h>

enum { L = EK_BOOT_LANES };

/* u (lanes 0-7, 8-15 interleaved by fours) += p * v, unsigned 16 x 16. */
static inline void multiply_add(__m256i p, __m256i v, __m256i *lo, __m256i *hi) {
    const __m256i a = _mm256_mullo_epi16(p, v), b = _mm256_mulhi_epu16(p, v);
    *lo = _mm256_add_epi32(*lo, _mm256_unpacklo_epi16(a, b));
    *hi = _mm256_add_epi32(*hi, _mm256_unpackhi_epi16(a, b));
}

static inline void store(__m256i lo, __m256i hi, uint32_t *out) {
    _mm256_storeu_si256((__m256i *)out, _mm256_permute2x128_si256(lo, hi, 0x20));
    _mm256_storeu_si256((__m256i *)(out + 8), _mm256_permute2x128_si256(lo, hi, 0x31));
}

static inline void store_u16(__m256i x, uint32_t *out) {
    const __m256i zero = _mm256_setzero_si256();
    store(_mm256_unpacklo_epi16(x, zero), _mm256_unpackhi_epi16(x, zero), out);
}

static inline __m256i counts(const uint8_t *at) {
    return _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)at));
}

static void half(const uint32_t *order, size_t n, const uint8_t *count, uint32_t *twice_u,
                 uint32_t *positives, uint32_t *negatives) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i below0 = zero, below1 = zero, pos0 = zero, pos1 = zero;
    __m256i lo0 = zero, hi0 = zero, lo1 = zero, hi1 = zero; /* sum of p * (below + below after) */
    for (size_t i = 0; i < n; i++) {
        const uint32_t w = order[i];
        const uint8_t *row = count + (size_t)(w & EK_ORDER_ROW) * L;
        __m256i p0 = zero, p1 = zero, q0 = zero, q1 = zero;
        if (w & EK_ORDER_LAST && !(w & EK_ORDER_POSITIVE)) { /* a negative alone: most of them */
            below0 = _mm256_add_epi16(below0, counts(row));
            below1 = _mm256_add_epi16(below1, counts(row + 16));
            continue;
        }
        for (;; i++) {
            const uint8_t *x = count + (size_t)(order[i] & EK_ORDER_ROW) * L;
            if (order[i] & EK_ORDER_POSITIVE) {
                p0 = _mm256_add_epi16(p0, counts(x));
                p1 = _mm256_add_epi16(p1, counts(x + 16));
            } else {
                q0 = _mm256_add_epi16(q0, counts(x));
                q1 = _mm256_add_epi16(q1, counts(x + 16));
            }
            if (order[i] & EK_ORDER_LAST) break;
        }
        multiply_add(p0, below0, &lo0, &hi0);
        multiply_add(p1, below1, &lo1, &hi1);
        below0 = _mm256_add_epi16(below0, q0);
        below1 = _mm256_add_epi16(below1, q1);
        multiply_add(p0, below0, &lo0, &hi0);
        multiply_add(p1, below1, &lo1, &hi1);
        pos0 = _mm256_add_epi16(pos0, p0);
        pos1 = _mm256_add_epi16(pos1, p1);
    }
    store(lo0, hi0, twice_u);
    store(lo1, hi1, twice_u + 16);
    store_u16(pos0, positives);
    store_u16(pos1, positives + 16);
    store_u16(below0, negatives);
    store_u16(below1, negatives + 16);
}

void ek_metric_boot_u8_avx2(const uint32_t *order, size_t n, const uint8_t *count,
                            uint32_t *twice_u, uint32_t *positives, uint32_t *negatives) {
    for (size_t l = 0; l < L; l += 32)
        half(order, n, count + l, twice_u + l, positives + l, negatives + l);
}
