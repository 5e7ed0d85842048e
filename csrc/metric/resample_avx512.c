/* 64 draws a pass: see resample_avx2.c. */
#include "ek_metric.h"
#include <immintrin.h>

enum { L = EK_BOOT_LANES };

static inline void multiply_add(__m512i p, __m512i v, __m512i *lo, __m512i *hi) {
    const __m512i a = _mm512_mullo_epi16(p, v), b = _mm512_mulhi_epu16(p, v);
    *lo = _mm512_add_epi32(*lo, _mm512_unpacklo_epi16(a, b));
    *hi = _mm512_add_epi32(*hi, _mm512_unpackhi_epi16(a, b));
}

static inline void store(__m512i lo, __m512i hi, uint32_t *out) {
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi64(lo, first, hi));
    _mm512_storeu_si512(out + 16, _mm512_permutex2var_epi64(lo, second, hi));
}

static inline void store_u16(__m512i x, uint32_t *out) {
    const __m512i zero = _mm512_setzero_si512();
    store(_mm512_unpacklo_epi16(x, zero), _mm512_unpackhi_epi16(x, zero), out);
}

static inline __m512i counts(const uint8_t *at) {
    return _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)at));
}

void ek_metric_boot_u8_avx512(const uint32_t *order, size_t n, const uint8_t *count,
                              uint32_t *twice_u, uint32_t *positives, uint32_t *negatives) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i below0 = zero, below1 = zero, pos0 = zero, pos1 = zero;
    __m512i lo0 = zero, hi0 = zero, lo1 = zero, hi1 = zero;
    for (size_t i = 0; i < n; i++) {
        const uint32_t w = order[i];
        const uint8_t *row = count + (size_t)(w & EK_ORDER_ROW) * L;
        if (w & EK_ORDER_LAST && !(w & EK_ORDER_POSITIVE)) {
            below0 = _mm512_add_epi16(below0, counts(row));
            below1 = _mm512_add_epi16(below1, counts(row + 32));
            continue;
        }
        __m512i p0 = zero, p1 = zero, q0 = zero, q1 = zero;
        for (;; i++) {
            const uint8_t *x = count + (size_t)(order[i] & EK_ORDER_ROW) * L;
            if (order[i] & EK_ORDER_POSITIVE) {
                p0 = _mm512_add_epi16(p0, counts(x));
                p1 = _mm512_add_epi16(p1, counts(x + 32));
            } else {
                q0 = _mm512_add_epi16(q0, counts(x));
                q1 = _mm512_add_epi16(q1, counts(x + 32));
            }
            if (order[i] & EK_ORDER_LAST) break;
        }
        multiply_add(p0, below0, &lo0, &hi0);
        multiply_add(p1, below1, &lo1, &hi1);
        below0 = _mm512_add_epi16(below0, q0);
        below1 = _mm512_add_epi16(below1, q1);
        multiply_add(p0, below0, &lo0, &hi0);
        multiply_add(p1, below1, &lo1, &hi1);
        pos0 = _mm512_add_epi16(pos0, p0);
        pos1 = _mm512_add_epi16(pos1, p1);
    }
    store(lo0, hi0, twice_u);
    store(lo1, hi1, twice_u + 32);
    store_u16(pos0, positives);
    store_u16(pos1, positives + 32);
    store_u16(below0, negatives);
    store_u16(below1, negatives + 32);
}
