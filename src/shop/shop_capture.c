#include "shop/shop.h"

void
ec_capture_init(void)
{
}

void
ec_capture_flush(void)
{
}
