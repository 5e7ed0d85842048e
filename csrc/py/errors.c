#include "ekpy.h"
#include <stdarg.h>

int ekpy_error(const char *class_name, const char *format, ...) {
    PyObject *module = PyImport_ImportModule("ecgkit.errors");
    PyObject *type = module ? PyObject_GetAttrString(module, class_name) : NULL;
    if (type != NULL) {
        va_list values;
        va_start(values, format);
        PyErr_FormatV(type, format, values);
        va_end(values);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
    return -1;
}

void ekpy_raise(ek_status st, const ekpy_sig *sig) {
    if (PyErr_Occurred()) return; /* EK_EINTR: the signal handler's exception is already there */
    switch (st) {
    case EK_ENOMEM: PyErr_NoMemory(); break;
    case EK_ESHAPE:
    case EK_EVALUE: PyErr_Format(PyExc_ValueError, "%s: %s", sig->name, ek_strstatus(st)); break;
    case EK_EINTR: PyErr_SetNone(PyExc_KeyboardInterrupt); break;
    case EK_EIO: PyErr_Format(PyExc_OSError, "%s: %s", sig->name, ek_strstatus(st)); break;
    case EK_EFORMAT: ekpy_error("FormatError", "%s: %s", sig->name, ek_strstatus(st)); break;
    default: PyErr_Format(PyExc_RuntimeError, "%s: %s", sig->name, ek_strstatus(st));
    }
}

int ekpy_poll_signals(void *thread_state) {
    PyThreadState **ts = thread_state;
    PyEval_RestoreThread(*ts);
    const int stop = PyErr_CheckSignals();
    *ts = PyEval_SaveThread();
    return stop;
}
