/* AVX2: eight samples at a time. The same operations as the reference in the same order, so the
 * same bits. */
#include "ek_io.h"
#include <immintrin.h>
#include <math.h>

static inline __m256 scale_eight(__m256i v, __m256d base, __m256d gain, __m256d factor,
                                 __m256i invalid) {
    __m256d lo = _mm256_cvtepi32_pd(_mm256_castsi256_si128(v));
    __m256d hi = _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1));
    lo = _mm256_mul_pd(_mm256_div_pd(_mm256_sub_pd(lo, base), gain), factor);
    hi = _mm256_mul_pd(_mm256_div_pd(_mm256_sub_pd(hi, base), gain), factor);
    const __m256 x = _mm256_set_m128(_mm256_cvtpd_ps(hi), _mm256_cvtpd_ps(lo));
    const __m256 bad = _mm256_castsi256_ps(_mm256_cmpeq_epi32(v, invalid));
    return _mm256_blendv_ps(x, _mm256_set1_ps(NAN), bad);
}

uint32_t ek_wfdb_scale_i16_avx2(const int16_t *raw, size_t n, ek_wfdb_scale s, float *x) {
    const __m256d base = _mm256_set1_pd(s.baseline), gain = _mm256_set1_pd(s.gain);
    const __m256d factor = _mm256_set1_pd(s.factor);
    const __m256i invalid = _mm256_set1_epi32(s.invalid);
    __m256i sum = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i v = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(raw + i)));
        sum = _mm256_add_epi32(sum, v);
        _mm256_storeu_ps(x + i, scale_eight(v, base, gain, factor, invalid));
    }
    uint32_t part[8], total = 0;
    _mm256_storeu_si256((__m256i *)part, sum);
    for (int k = 0; k < 8; k++) total += part[k];
    return total + ek_wfdb_scale_i16_ref(raw + i, n - i, s, x + i);
}

/* Pairs of 12-bit samples, first of each to `even`, second to `odd`: eight pairs are 24 bytes. */
void ek_wfdb_pairs_avx2(const uint8_t *src, size_t pairs, int16_t *even, int16_t *odd) {
    const __m256i spread = _mm256_setr_epi8(0, 1, 3, 4, 6, 7, 9, 10, 2, 1, 5, 4, 8, 7, 11, 10, /* */
                                            0, 1, 3, 4, 6, 7, 9, 10, 2, 1, 5, 4, 8, 7, 11, 10);
    size_t t = 0;
    for (; t + 10 <= pairs; t += 8) { /* the second load reads 4 bytes past its 12 */
        const __m128i a = _mm_loadu_si128((const __m128i *)(src + 3 * t));
        const __m128i b = _mm_loadu_si128((const __m128i *)(src + 3 * t + 12));
        const __m256i w = _mm256_shuffle_epi8(_mm256_set_m128i(b, a), spread);
        const __m256i first = _mm256_srai_epi16(_mm256_slli_epi16(w, 4), 4);
        const __m256i high = _mm256_and_si256(w, _mm256_set1_epi16((short)0xf000));
        const __m256i second = _mm256_or_si256(_mm256_srai_epi16(high, 4),
                                               _mm256_and_si256(w, _mm256_set1_epi16(0xff)));
        const __m256i both =
            _mm256_permute4x64_epi64(_mm256_blend_epi32(first, second, 0xcc), 0xd8);
        _mm_storeu_si128((__m128i *)(even + t), _mm256_castsi256_si128(both));
        _mm_storeu_si128((__m128i *)(odd + t), _mm256_extracti128_si256(both, 1));
    }
    ek_wfdb_pairs_ref(src + 3 * t, pairs - t, even + t, odd + t);
}
