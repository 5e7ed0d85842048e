#include "ek_metric.h"
#include <math.h>
#include <string.h>

#define FLOAT   float
#define KEY     uint32_t
#define NAME(x) x##_f32
#define ORDER   ek_metric_order_f32
#include "order_impl.h"
#undef FLOAT
#undef KEY
#undef NAME
#undef ORDER

#define FLOAT   double
#define KEY     uint64_t
#define NAME(x) x##_f64
#define ORDER   ek_metric_order_f64
#include "order_impl.h"
