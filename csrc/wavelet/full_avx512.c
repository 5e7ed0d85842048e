#define LANES 16
#define NAME  ek_full_row_avx512
#include "full_impl.h"
