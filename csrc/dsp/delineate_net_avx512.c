/* The network of the delineator, sixteen floats at a time. Gain: benchmarks/delineate.py. */
#include <immintrin.h>

typedef __m512 vec;
enum { LANES = 16, ACCUMULATORS = 16 };

#define v_load(p)      _mm512_loadu_ps(p)
#define v_store(p, v)  _mm512_storeu_ps(p, v)
#define v_set(s)       _mm512_set1_ps(s)
#define v_add(a, b)    _mm512_add_ps(a, b)
#define v_relu(a)      _mm512_max_ps(a, _mm512_setzero_ps())
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)

#include "delineate_net_impl.h"

const delin_net delin_net_avx512 = {phase_layers, encode, score};
