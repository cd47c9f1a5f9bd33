-- Functions of all scripts of orders. KEYS[1] is the prefix of all keys, with their hash tag.
--
-- orders:order:ID        hash: what is known of an order; starting_until is the time until which its task may
--                        still be created (ms, the server's clock), returned is '1' once another request has
--                        its receipt
-- orders:images:ID       hash: line, image; orders:stages:ID: stage, outcome and reason
-- orders:open            sorted set: unfinished orders by their row; orders:workflows: their ids by workflow
-- orders:keys            hash: merchant and idempotency key, order
-- orders:merchants       hash: number of orders whose processing has begun; orders:first: the first one's time
-- orders:products:ID     hash: SKU, draft of the product, of one merchant
-- orders:meta            hash: the last row, the number of orders
local function key(name) return KEYS[1] .. ':orders:' .. name end
local function order(po_id) return key('order:' .. po_id) end
