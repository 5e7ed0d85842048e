#include "ek_metric.h"

#define NAME(x) x##_avx512
#include "signals_impl.h"
