#define LANES  16
#define KERNEL ek_lane_avx512
#include "lanes_impl.h"
