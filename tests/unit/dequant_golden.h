/* SPDX-License-Identifier: MIT */
/* dequant_golden.h - what codes stand for; made by tests/codec/dequant_golden.py. */
struct golden {
	uint32_t scale; /* bits */
	int32_t zero_point;
	unsigned code;
	uint32_t f32, f16, bf16; /* bits */
	const char *why;
};

/* clang-format off */
static const struct golden golden[] = {
	{0x3c4a4588, 121, 0, 0xbfbf35bb, 0xbdfa, 0xbfbf, "a usual scale"},
	{0x3c4a4588, 121, 122, 0x3c4a4588, 0x2252, 0x3c4a, ""},
	{0x3c4a4588, 121, 255, 0x3fd3c0ca, 0x3e9e, 0x3fd4, ""},
	{0x3c4a4588, 7, 15, 0x3dca4588, 0x2e52, 0x3dca, ""},
	{0x3f800000, 0, 255, 0x437f0000, 0x5bf8, 0x437f, "exact"},
	{0x3f800000, 128, 128, 0x00000000, 0x0000, 0x0000, "zero is positive"},
	{0xbf800000, 128, 128, 0x80000000, 0x8000, 0x8000, "... and negative with a negative scale"},
	{0xbd12f1a9, 0, 200, 0xc0e59998, 0xc72d, 0xc0e6, "a tensor of negative weights"},
	{0x00000000, 3, 9, 0x00000000, 0x0000, 0x0000, "scale zero"},
	{0x00000000, 9, 3, 0x80000000, 0x8000, 0x8000, ""},
	{0x80000000, 3, 9, 0x80000000, 0x8000, 0x8000, ""},
	{0x00000001, 0, 1, 0x00000001, 0x0000, 0x0000, "the smallest scale"},
	{0x00000001, 0, 255, 0x000000ff, 0x0000, 0x0000, ""},
	{0x00008000, 0, 1, 0x00008000, 0x0000, 0x0000, "BF16: half of the smallest subnormal number, to even"},
	{0x00008000, 0, 3, 0x00018000, 0x0000, 0x0002, "BF16: one and a half"},
	{0x00008001, 0, 1, 0x00008001, 0x0000, 0x0001, "BF16: just above half"},
	{0x007fffff, 0, 1, 0x007fffff, 0x0000, 0x0080, "the largest subnormal scale"},
	{0x33000000, 0, 1, 0x33000000, 0x0000, 0x3300, "F16: half of the smallest subnormal number, to even"},
	{0x33000001, 0, 1, 0x33000001, 0x0001, 0x3300, "F16: just above half"},
	{0x33000000, 0, 3, 0x33c00000, 0x0002, 0x33c0, "F16: one and a half"},
	{0x387fc000, 0, 1, 0x387fc000, 0x03ff, 0x3880, "F16: the largest subnormal number"},
	{0x387fe000, 0, 1, 0x387fe000, 0x0400, 0x3880, "F16: halfway to the smallest normal number"},
	{0x477fe000, 0, 1, 0x477fe000, 0x7bff, 0x4780, "F16: the largest number"},
	{0x477fefff, 0, 1, 0x477fefff, 0x7bff, 0x4780, "F16: just below the limit"},
	{0x477ff000, 0, 1, 0x477ff000, 0x7c00, 0x4780, "F16: the limit, infinity"},
	{0x43800000, 0, 255, 0x477f0000, 0x7bf8, 0x477f, "F16: 65280"},
	{0x43808080, 0, 255, 0x477fffff, 0x7c00, 0x4780, "F16: above the limit"},
	{0x7f7fffff, 0, 1, 0x7f7fffff, 0x7c00, 0x7f80, "the largest scale"},
	{0x7f7fffff, 0, 2, 0x7f800000, 0x7c00, 0x7f80, ""},
	{0x7f7fffff, 2, 0, 0xff800000, 0xfc00, 0xff80, ""},
	{0x7f7f7fff, 0, 1, 0x7f7f7fff, 0x7c00, 0x7f7f, "BF16: just below the limit"},
	{0x7f7f8000, 0, 1, 0x7f7f8000, 0x7c00, 0x7f80, "BF16: the limit, infinity"},
	{0x3f808000, 0, 1, 0x3f808000, 0x3c04, 0x3f80, "BF16: a half, down to even"},
	{0x3f818000, 0, 1, 0x3f818000, 0x3c0c, 0x3f82, "BF16: a half, up to even"},
	{0x3f801000, 0, 1, 0x3f801000, 0x3c00, 0x3f80, "F16: a half, down to even"},
	{0x3f803000, 0, 1, 0x3f803000, 0x3c02, 0x3f80, "F16: a half, up to even"},
	{0x3fabcdef, 2147483647, 0, 0xcf2bcdef, 0xfc00, 0xcf2c, "the largest zero point"},
	{0x3fabcdef, 2147483647, 255, 0xcf2bcdee, 0xfc00, 0xcf2c, ""},
	{0x3fabcdef, INT32_MIN, 255, 0x4f2bcdf0, 0x7c00, 0x4f2c, "the smallest zero point: a difference of 33 bits"},
	{0x3fffffff, INT32_MIN, 255, 0x4f800000, 0x7c00, 0x4f80, "a product of 56 bits"},
	{0x00000001, INT32_MIN, 0, 0x04800000, 0x0000, 0x0480, ""},
	{0x7f7fffff, INT32_MIN, 255, 0x7f800000, 0x7c00, 0x7f80, ""},
	{0x3f800001, 16777217, 0, 0xcb800002, 0xfc00, 0xcb80, "a difference that F32 cannot hold"},
	{0x3f800001, -16777216, 15, 0x4b800009, 0x7c00, 0x4b80, ""},
	{0x3ce6eb3e, 0, 37, 0x3f858000, 0x3c2c, 0x3f85, "BF16: rounding twice goes wrong"},
	{0x3cc3a2e9, 0, 44, 0x3f868000, 0x3c34, 0x3f87, "BF16: rounding twice goes wrong"},
	{0x3caa0a0a, 0, 51, 0x3f878000, 0x3c3c, 0x3f87, "BF16: rounding twice goes wrong"},
	{0x3c969ee6, 0, 58, 0x3f888000, 0x3c44, 0x3f89, "BF16: rounding twice goes wrong"},
	{0x3c876276, 0, 65, 0x3f898000, 0x3c4c, 0x3f89, "BF16: rounding twice goes wrong"},
	{0x3c7638e4, 0, 72, 0x3f8a8000, 0x3c54, 0x3f8b, "BF16: rounding twice goes wrong"},
	{0x3de3e38e, 0, 9, 0x3f803000, 0x3c01, 0x3f80, "F16: rounding twice goes wrong"},
	{0x3d32b216, 0, 23, 0x3f807000, 0x3c03, 0x3f80, "F16: rounding twice goes wrong"},
	{0x3cde9837, 0, 37, 0x3f80b000, 0x3c05, 0x3f81, "F16: rounding twice goes wrong"},
	{0x3c7e6666, 0, 65, 0x3f813000, 0x3c09, 0x3f81, "F16: rounding twice goes wrong"},
	{0x3c51b8b5, 0, 79, 0x3f817000, 0x3c0b, 0x3f81, "F16: rounding twice goes wrong"},
	{0x3c2628f6, 0, 100, 0x3f81d000, 0x3c0f, 0x3f82, "F16: rounding twice goes wrong"},
};
/* clang-format on */
