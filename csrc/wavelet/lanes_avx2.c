#define LANES  8
#define KERNEL ek_lane_avx2
#include "lanes_impl.h"
