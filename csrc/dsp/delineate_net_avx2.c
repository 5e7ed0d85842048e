/* The network of the delineator, eight floats at a time. Gain: benchmarks/delineate.py. */
#include <immintrin.h>

typedef __m256 vec;
enum { LANES = 8, ACCUMULATORS = 8 };

#define v_load(p)      _mm256_loadu_ps(p)
#define v_store(p, v)  _mm256_storeu_ps(p, v)
#define v_set(s)       _mm256_set1_ps(s)
#define v_add(a, b)    _mm256_add_ps(a, b)
#define v_relu(a)      _mm256_max_ps(a, _mm256_setzero_ps())
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

#include "delineate_net_impl.h"

const delin_net delin_net_avx2 = {phase_layers, encode, score};
