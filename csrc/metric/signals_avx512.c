#include "ek_metric.h"
#include <string.h>

#define NAME(x) x##_avx512
#define BYTES   64
#include "signals_impl.h"
