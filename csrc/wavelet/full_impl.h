/* full_impl.h: the interpolation for LANES floats per vector (8 or 16). The including file defines
 * LANES and NAME. */
#include "full.h"
#include <immintrin.h>
#include <string.h>

#if LANES == 16
typedef __m512 vf;
typedef __m512i vi;
#define LOAD  _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SPLAT _mm512_set1_ps
#define FMA   _mm512_fmadd_ps
#define FNMA  _mm512_fnmadd_ps
#define MUL   _mm512_mul_ps
#define ROOT  _mm512_sqrt_ps
#define ZERO  _mm512_setzero_ps
static inline vi index_load(const uint32_t *p) {
    return _mm512_loadu_si512(p);
}
static inline vf pick(vf v, vi index) {
    return _mm512_permutexvar_ps(index, v);
}
static inline void interleave(vf re, vf im, float *out) {
    const vi low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const vi high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    STORE(out, _mm512_permutex2var_ps(re, low, im));
    STORE(out + 16, _mm512_permutex2var_ps(re, high, im));
}
#else
typedef __m256 vf;
typedef __m256i vi;
#define LOAD  _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SPLAT _mm256_set1_ps
#define FMA   _mm256_fmadd_ps
#define FNMA  _mm256_fnmadd_ps
#define MUL   _mm256_mul_ps
#define ROOT  _mm256_sqrt_ps
#define ZERO  _mm256_setzero_ps
static inline vi index_load(const uint32_t *p) { /* from the first lane on: eight floats reach */
    return _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi32((int)p[0]));
}
static inline vf pick(vf v, vi index) {
    return _mm256_permutevar8x32_ps(v, index);
}
static inline void interleave(vf re, vf im, float *out) {
    const vf low = _mm256_unpacklo_ps(re, im), high = _mm256_unpackhi_ps(re, im);
    STORE(out, _mm256_permute2f128_ps(low, high, 0x20));
    STORE(out + 8, _mm256_permute2f128_ps(low, high, 0x31));
}
#endif

void NAME(const ek_lane_plan *plan, const ek_full_row *row, ek_full_what what, const float *re,
          const float *im, float *out) {
    const ek_full_table *table = row->table;
    const size_t wide = EK_FULL_WIDE, t = plan->key.t, nfft = table->bank->nfft, taps = table->taps;
    const float *turn = plan->full->turn[row->near];
    float turn_re[EK_FULL_WIDE], turn_im[EK_FULL_WIDE], last[2 * EK_FULL_WIDE];
    for (size_t l = 0; l < wide; l++) {
        turn_re[l] = turn[2 * (row->centre * l % nfft)];
        turn_im[l] = turn[2 * (row->centre * l % nfft) + 1];
    }
    const size_t step = row->centre * wide % nfft;
    size_t angle = row->centre * (table->bank->left % nfft) % nfft, p = 0;
    for (size_t v = 0; v * wide < t; v++) {
        const size_t left = t - v * wide, each = what == EK_FULL_COMPLEX ? 2 : 1;
        float *to = left < wide ? last : out + each * v * wide;
        const vf a = SPLAT(turn[2 * angle]), b = SPLAT(turn[2 * angle + 1]);
        for (size_t h = 0; h < wide; h += LANES) {
            const uint32_t *index = table->index + p * wide + h;
            const size_t at = table->base[v] + (LANES == 16 ? 0 : index[0]);
            const float *tap = table->tap + p * taps * wide + h;
            const vi lanes = index_load(index);
            vf x = ZERO(), y = ZERO();
            for (size_t k = 0; k < taps; k++) {
                const vf w = LOAD(tap + k * wide);
                x = FMA(pick(LOAD(re + at + k), lanes), w, x);
                y = FMA(pick(LOAD(im + at + k), lanes), w, y);
            }
            if (what == EK_FULL_COMPLEX) {
                const vf c = LOAD(turn_re + h), d = LOAD(turn_im + h);
                const vf e = FNMA(b, d, MUL(a, c)), f = FMA(a, d, MUL(b, c));
                interleave(FNMA(y, f, MUL(x, e)), FMA(x, f, MUL(y, e)), to + 2 * h);
            } else {
                const vf square = FMA(x, x, MUL(y, y));
                STORE(to + h, what == EK_FULL_POWER ? square : ROOT(square));
            }
        }
        if (left < wide) memcpy(out + each * v * wide, last, each * left * sizeof *out);
        angle += step;
        angle -= angle >= nfft ? nfft : 0;
        p = p + 1 < table->patterns ? p + 1 : 0;
    }
}
