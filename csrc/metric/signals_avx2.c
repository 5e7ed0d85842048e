#include "ek_metric.h"

#define NAME(x) x##_avx2
#include "signals_impl.h"
