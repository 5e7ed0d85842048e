#include "ek_metric.h"
#include <math.h>

#define NAME(x) x##_ref
#include "depth_impl.h"
