#define LANES 8
#define NAME  ek_full_row_avx2
#include "full_impl.h"
