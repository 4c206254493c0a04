-- The first one comes back after the first reminder.
SELECT name, shop.check_out(cart) AS "order" FROM demo.cart WHERE n = 1 \gset
\echo 'Both have a mail. ':name' comes back and orders: that ends the reminders.'
