#include "ek_metric.h"
#include <math.h>

#define NAME(x) x##_avx2
#include "depth_impl.h"
