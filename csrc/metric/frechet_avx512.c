#include "frechet.h"
#include <immintrin.h>
#include <math.h>

#define STEPS         8
#define VEC           __m512
#define REAL          float
#define LANES         16
#define NAME(x)       x##_f32_avx512
#define LOAD(x)       _mm512_loadu_ps(x)
#define STORE(x, v)   _mm512_storeu_ps(x, v)
#define SET(x)        _mm512_set1_ps(x)
#define SUB(x, y)     _mm512_sub_ps(x, y)
#define MUL(x, y)     _mm512_mul_ps(x, y)
#define ADD(x, y)     _mm512_add_ps(x, y)
#define MIN(x, y)     _mm512_min_ps(x, y)
#define MAX(x, y)     _mm512_max_ps(x, y)
#define FARTHER(y, x) _mm512_max_ps(_mm512_abs_ps(y), x)
#define BEFORE(x, prev)                                                                            \
    _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(x), _mm512_castps_si512(prev), 15))
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

#define VEC           __m512d
#define REAL          double
#define LANES         8
#define NAME(x)       x##_f64_avx512
#define LOAD(x)       _mm512_loadu_pd(x)
#define STORE(x, v)   _mm512_storeu_pd(x, v)
#define SET(x)        _mm512_set1_pd(x)
#define SUB(x, y)     _mm512_sub_pd(x, y)
#define MUL(x, y)     _mm512_mul_pd(x, y)
#define ADD(x, y)     _mm512_add_pd(x, y)
#define MIN(x, y)     _mm512_min_pd(x, y)
#define MAX(x, y)     _mm512_max_pd(x, y)
#define FARTHER(y, x) _mm512_max_pd(_mm512_abs_pd(y), x)
#define BEFORE(x, prev)                                                                            \
    _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(x), _mm512_castpd_si512(prev), 7))
#include "frechet_lanes.h"
