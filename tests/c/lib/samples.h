/* Chunks that return values of every kind that a message can hold. */
#ifndef SAMPLES_H
#define SAMPLES_H

static const char *const samples[] = {
    "return 1, -300, 1 << 40, 1.5, 'short', ('long'):rep(100), nil, true",
    "return {1, 2, 3, {4, {5}}, x = {y = {z = 'w'}}, [2.5] = false}",
    "local t = {{}, {}} t[3] = t[1] t.t = t return t, t[2]",
    "local s = ('s'):rep(300) return {s, s, {s}}",
    "return print, string, _G, string.format, {print, print}",
    "local n = 0 return {function() n = n + 1 end, function() return n end}",
    "local f function f() return f end return f, function() return f end",
    "local C = {} C.__index = C function C.m() return C end "
    "return setmetatable({1}, C), setmetatable({2}, C), C",
    "D = {} D.__index = D D.shared = {D, {1}} D.file = io.stdout "
    "return {setmetatable({}, D), D.shared[2], D.shared[2]}",
    "local B = {__index = {}} local C = setmetatable({}, B) C.__index = C "
    "C.self = setmetatable({}, C) return {C, setmetatable({}, C)}",
    "local q = Queue() return {q, Queue(3), q}, Full, Empty",
    "local n = 5 local C = {} C.__index = C function C.f() return n, C end "
    "return {setmetatable({}, C), function() return n, C end, C.f}",
    "local C, e, all = {}, nil, {} C.__index = C for i = 1, 9 do "
    "local n = {e, i} if e then e.up = n end e = n all[i] = e end "
    "C.last = e return setmetatable({}, C), all",
};
enum { SAMPLES = sizeof samples / sizeof *samples };

#endif
