#include "ek_metric.h"
#include <string.h>

#define NAME(x) x##_avx2
#define BYTES   32
#include "signals_impl.h"
