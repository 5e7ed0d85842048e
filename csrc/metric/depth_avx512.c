#include "ek_metric.h"
#include <math.h>

#define NAME(x) x##_avx512
#include "depth_impl.h"
