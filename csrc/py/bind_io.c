#include "ekpy.h"

PyMethodDef ekpy_io_methods[] = {
    {NULL, NULL, 0, NULL},
};
