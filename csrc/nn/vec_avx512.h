/* vec_avx512.h: sixteen floats. The same names as vec_avx2.h, so that kernels are written once.
 * vf_min and vf_max hand the second argument on when either is NaN. */
#ifndef EK_VEC_AVX512_H
#define EK_VEC_AVX512_H
#include <immintrin.h>
#include <stddef.h>

enum { VF = 16 };
typedef __m512 vf;
typedef __mmask16 vm;

static inline vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf v) {
    _mm512_storeu_ps(p, v);
}
static inline vm vm_first(size_t n) {
    return n >= 16 ? (vm)0xffff : (vm)((1u << n) - 1u);
}
static inline vf vf_load_n(const float *p, size_t n) { /* zeros beyond n */
    return _mm512_maskz_loadu_ps(vm_first(n), p);
}
static inline void vf_store_n(float *p, vf v, size_t n) {
    _mm512_mask_storeu_ps(p, vm_first(n), v);
}
static inline vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
static inline vf vf_bcast(const float *p) {
    return _mm512_set1_ps(*p);
}
static inline vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) { /* a*b + c */
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) { /* c - a*b */
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
static inline vf vf_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_ldexp(vf a, vf n) { /* a * 2^n for whole n, rounded once */
    return _mm512_scalef_ps(a, n);
}
static inline vf vf_abs(vf a) {
    return _mm512_abs_ps(a);
}
static inline vf vf_copysign(vf size, vf sign) {
    const __m512i bit = _mm512_set1_epi32((int)0x80000000u);
    return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_andnot_epi32(bit, _mm512_castps_si512(size)),
                                               _mm512_and_epi32(bit, _mm512_castps_si512(sign))));
}
static inline vf vf_where_lt(vf a, vf b, vf yes, vf no) { /* a < b ? yes : no */
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
static inline vf vf_where_nan(vf a, vf yes, vf no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), no, yes);
}
static inline int vf_any_nan(vf a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}
#endif
