-- A small shop: customers, products, orders; the reports its owner asks for; a correction; a clean-up.
PRAGMA journal_mode = MEMORY;
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE product(id INTEGER PRIMARY KEY, title TEXT, price_cents INTEGER, note TEXT);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER, product INTEGER, amount INTEGER, day TEXT);

-- A multiplicative generator stands in for chance: the same data on every run.
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
INSERT INTO customer SELECT i, 'customer ' || (i * 7919 % 4000),
  CASE i % 5 WHEN 0 THEN 'Oslo' WHEN 1 THEN 'Lima' WHEN 2 THEN 'Pune' WHEN 3 THEN 'Bern' ELSE 'Suva' END FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO product SELECT i, 'product ' || i, 100 + i * 6151 % 9000, substr(hex(zeroblob(200)), 1, i % 180) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO purchase SELECT i, 1 + i * 48271 % 4000, 1 + i * 16807 % 300, 1 + i % 4,
  date('2026-01-01', '+' || (i % 360) || ' days') FROM n;
CREATE INDEX purchase_by_day ON purchase(day, product);
CREATE INDEX purchase_by_customer ON purchase(customer);

SELECT 'revenue', city, sum(amount * price_cents) / 100 FROM purchase
  JOIN customer ON customer.id = customer JOIN product ON product.id = product GROUP BY city ORDER BY 3 DESC;
SELECT 'best day', day, count(*) FROM purchase GROUP BY day ORDER BY 3 DESC, day LIMIT 3;
SELECT 'loyal', name, count(DISTINCT product) AS variety FROM purchase JOIN customer ON customer.id = customer
  GROUP BY name HAVING variety > 30 ORDER BY variety DESC, name LIMIT 3;
SELECT 'letters', length(group_concat(upper(title) || ':' || note, ', ')) FROM product;
SELECT 'running', day, total FROM (SELECT day, sum(sum(amount)) OVER (ORDER BY day) AS total FROM purchase
  GROUP BY day) ORDER BY day DESC LIMIT 2;
SELECT 'as json', length(json_group_array(json_object('id', id, 'name', name, 'city', city))) FROM customer;

BEGIN;
UPDATE purchase SET amount = amount + 1 WHERE product IN (SELECT id FROM product WHERE price_cents < 1000);
DELETE FROM purchase WHERE day < '2026-02-01' AND customer % 3 = 0;
COMMIT;
SELECT 'left', count(*), sum(amount) FROM purchase;
VACUUM;
