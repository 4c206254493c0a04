/*-------------------------------------------------------------------------
 *
 * pricing_key_map.h
 *		Maps from keys of the shop to numbers 0, 1, 2, ...
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_KEY_MAP_H
#define EC_PRICING_KEY_MAP_H

#include "compat/compat.h"

typedef struct EcKeyMap EcKeyMap;

extern EcKeyMap *ec_key_map_create(int64 size);
extern int	ec_key_map_put(EcKeyMap *map, const char *key, int len, bool *found);
extern int	ec_key_map_find(EcKeyMap *map, const char *key, int len);
extern int	ec_key_map_put_text(EcKeyMap *map, Datum key);
extern int	ec_key_map_find_text(EcKeyMap *map, Datum key);
extern int	ec_key_map_count(const EcKeyMap *map);
extern text *ec_key_map_key(const EcKeyMap *map, int number);

#endif							/* EC_PRICING_KEY_MAP_H */
