#include "frechet.h"
#include <immintrin.h>
#include <math.h>

#define STEPS           4
#define VEC             __m256
#define REAL            float
#define LANES           8
#define NAME(x)         x##_f32_avx2
#define LOAD(x)         _mm256_loadu_ps(x)
#define STORE(x, v)     _mm256_storeu_ps(x, v)
#define SET(x)          _mm256_set1_ps(x)
#define SUB(x, y)       _mm256_sub_ps(x, y)
#define MUL(x, y)       _mm256_mul_ps(x, y)
#define ADD(x, y)       _mm256_add_ps(x, y)
#define MIN(x, y)       _mm256_min_ps(x, y)
#define MAX(x, y)       _mm256_max_ps(x, y)
#define FARTHER(y, x)   _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), y), x)
#define BEFORE(x, prev) before_f32(x, prev)
static inline __m256 before_f32(__m256 x, __m256 prev) {
    const __m256i turn = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
    return _mm256_permutevar8x32_ps(_mm256_blend_ps(x, prev, 0x80), turn);
}
#include "frechet_lanes.h"
#undef VEC
#undef REAL
#undef LANES
#undef NAME
#undef LOAD
#undef STORE
#undef SET
#undef SUB
#undef MUL
#undef ADD
#undef MIN
#undef MAX
#undef FARTHER
#undef BEFORE

#define VEC             __m256d
#define REAL            double
#define LANES           4
#define NAME(x)         x##_f64_avx2
#define LOAD(x)         _mm256_loadu_pd(x)
#define STORE(x, v)     _mm256_storeu_pd(x, v)
#define SET(x)          _mm256_set1_pd(x)
#define SUB(x, y)       _mm256_sub_pd(x, y)
#define MUL(x, y)       _mm256_mul_pd(x, y)
#define ADD(x, y)       _mm256_add_pd(x, y)
#define MIN(x, y)       _mm256_min_pd(x, y)
#define MAX(x, y)       _mm256_max_pd(x, y)
#define FARTHER(y, x)   _mm256_max_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), y), x)
#define BEFORE(x, prev) _mm256_permute4x64_pd(_mm256_blend_pd(x, prev, 0x8), 0x93)
#include "frechet_lanes.h"
