/* bfloat16 weights and factors that bfloat16 holds exactly: two steps of the sum per instruction.
 * vdpbf16ps adds the product of the high halves, then that of the low ones, each rounded as a fused
 * multiply-add is: with the earlier step in the high half the bits are those of the other path.
 * It takes and gives no subnormal numbers; ek_lora_dots_exact keeps away from them. */
#include <immintrin.h>
#include "lora_kern.h"

#pragma GCC target("avx512bf16")

enum { ROWS = EK_LORA_DOT_ROWS, AHEAD = 4, WORDS = 16, SUBNORMAL = 0x20 };

/* The even columns of 32 lie in one vector, the odd ones in another. */
static inline __m512 even(__m512i w) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}
static inline __m512 odd(__m512i w) {
    return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000)));
}

/* To nearest even, as ek_lora_to_bf16, in the upper half of every lane. */
static inline __m512i rounded(__m512 y) {
    const __m512i u = _mm512_castps_si512(y), one = _mm512_set1_epi32(1);
    const __m512i last = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), last);
    const __mmask16 nan = _mm512_cmp_ps_mask(y, y, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(up, nan, u, _mm512_set1_epi32(0x400000));
}

void ek_lora_dots_avx512(const uint32_t *a, const uint32_t *b, size_t k, float scale,
                         const uint16_t *w, uint16_t *out, size_t ld, size_t tiles) {
    const __m512 s = _mm512_set1_ps(scale);
    const __m512i lanes =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (size_t t = 0; t < tiles; t++, w += EK_LORA_DOT_COLUMNS, out += EK_LORA_DOT_COLUMNS) {
        __m512 acc[ROWS][2];
#pragma GCC unroll 8
        for (size_t i = 0; i < ROWS; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
        const uint32_t *b_c = b;
        for (size_t c = 0; c < k; c++, a += 2 * WORDS, b_c += ROWS) {
            const __m512bh y0 = (__m512bh)_mm512_loadu_si512(a);
            const __m512bh y1 = (__m512bh)_mm512_loadu_si512(a + WORDS);
            if (c < ROWS) __builtin_prefetch(w + c * ld + AHEAD * EK_LORA_DOT_COLUMNS, 0, 2);
#pragma GCC unroll 8
            for (size_t i = 0; i < ROWS; i++) {
                const __m512bh x = (__m512bh)_mm512_set1_epi32((int)b_c[i]);
                acc[i][0] = _mm512_dpbf16_ps(acc[i][0], x, y0);
                acc[i][1] = _mm512_dpbf16_ps(acc[i][1], x, y1);
            }
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < ROWS; i++) {
            const __m512i old = _mm512_loadu_si512(w + i * ld);
            const __m512 y0 = _mm512_add_ps(even(old), _mm512_mul_ps(s, acc[i][0]));
            const __m512 y1 = _mm512_add_ps(odd(old), _mm512_mul_ps(s, acc[i][1]));
            __m512i both = _mm512_permutexvar_epi16(lanes, (__m512i)_mm512_cvtne2ps_pbh(y1, y0));
            const __mmask16 small =
                _mm512_fpclass_ps_mask(y0, SUBNORMAL) | _mm512_fpclass_ps_mask(y1, SUBNORMAL);
            if (__builtin_expect(small != 0, 0)) /* those the instruction makes zero */
                both = _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(rounded(y0), 16),
                                               rounded(y1));
            _mm512_storeu_si512(out + i * ld, both);
        }
    }
}
